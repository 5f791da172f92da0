//! The viewer, for everything on a page: how it is let in, who it is, and whom to tell if it is not any more.

use clickwire_protocol::alerts::Alert;
use yew::prelude::*;

use crate::{
    account::Credential,
    api::{Advertiser, Role, Session},
    http::Failure,
};

/// The viewer and the credential that every page knows.
#[derive(Clone, PartialEq)]
pub struct Access {
    /// Credential for the API.
    pub credential: Credential,
    /// The viewer; `None`: not known yet.
    pub session: Option<Session>,
    /// Advertisers that it may see, by name; `None`: they are not known yet.
    pub advertisers: Option<Vec<Advertiser>>,
    /// Reason why the advertisers are not known.
    pub advertisers_failure: Option<Failure>,
    /// Grows when all that is shown is to be asked again.
    pub round: u32,
    /// Hears that the viewer is not signed in any more.
    pub onrefused: Callback<()>,
    /// Hears that the list of advertisers has changed.
    pub onadvertisers: Callback<()>,
}

impl Access {
    /// Returns the access of a page that stands by itself.
    pub fn new(credential: Credential) -> Self {
        Self {
            credential,
            session: None,
            advertisers: None,
            advertisers_failure: None,
            round: 0,
            onrefused: Callback::noop(),
            onadvertisers: Callback::noop(),
        }
    }

    /// Returns the viewer's role; as long as it is not known, the one with the fewest rights.
    pub fn role(&self) -> Role {
        self.session.as_ref().map_or(Role::Other, |session| session.role)
    }

    /// An advertiser's name, or its id.
    pub fn advertiser_name(&self, id: &str) -> String {
        let named = self.advertisers.iter().flatten().find(|advertiser| advertiser.advertiser_id == id);
        named.map_or_else(|| id.to_owned(), |advertiser| advertiser.name.clone())
    }

    /// The subject of an incident, with its advertiser's name.
    pub fn subject_of(&self, alert: &Alert) -> String {
        match &alert.advertiser_id {
            Some(id) => format!("{} · {}", self.advertiser_name(id.as_str()), alert.subject),
            None => alert.subject.clone(),
        }
    }
}

/// The viewer.
#[hook]
pub fn use_access() -> Access {
    use_context::<Access>().unwrap_or_else(|| Access::new(Credential::Cookie))
}
