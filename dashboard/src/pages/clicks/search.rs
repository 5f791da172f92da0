//! The search for clicks, as an address has it: `ad:ad_001 verdict:givt,sivt`.

use clickwire_protocol::{counts::Disposition, rules::Rule};
use yew::prelude::*;

use super::{super::on_submit, CLICKS};
use crate::{
    access::{Access, use_access},
    frame::View,
    http::{self, Failure},
    kit::{Field, Select},
    query, words,
};

/// Fields of a search: name in an address, name in the API, label.
const FIELDS: [(&str, &str, words::Text); 11] = [
    ("id", "click_id", words::CLICK_ID),
    ("campaign", "campaign_id", words::CAMPAIGN),
    ("ad", "ad_id", words::AD),
    ("user", "user_id", words::USER),
    ("country", "country", words::COUNTRY),
    ("device", "device_type", words::DEVICE),
    ("os", "os", words::OS),
    ("browser", "browser", words::BROWSER),
    ("address", "ip_hash", words::ADDRESS_HASH),
    ("verdict", "disposition", words::VERDICT),
    ("rule", "rule", words::RULE),
];

/// Number of fields that are entered as text; they come first.
const TEXTS: usize = 9;

/// The last of these, which operators have.
const ADDRESS: usize = 8;
const VERDICT: usize = 9;
const RULE: usize = 10;

/// Names in the API of the fields that show their own errors to a caller.
pub(super) fn shown(access: &Access) -> &'static [&'static str] {
    &SHOWN[..texts(access)]
}

/// Number of fields that a caller enters as text.
fn texts(access: &Access) -> usize {
    if access.role().is_operators() { TEXTS } else { ADDRESS }
}

const SHOWN: [&str; TEXTS] =
    ["click_id", "campaign_id", "ad_id", "user_id", "country", "device_type", "os", "browser", "ip_hash"];

/// A search: one value for each of [`FIELDS`]; an empty one matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Search([String; FIELDS.len()]);

impl Search {
    /// Reads the search of an address.
    pub(super) fn read(text: &str) -> Self {
        let mut search = Self::default();
        for (name, value) in text.split(' ').filter_map(|part| part.split_once(':')) {
            if let Some(at) = FIELDS.iter().position(|(known, ..)| *known == name) {
                search.0[at] = query::decode(value);
            }
        }
        search
    }

    /// Returns whether it finds the clicks of one IP address.
    pub(super) fn is_of_address(&self) -> bool {
        !self.0[ADDRESS].is_empty()
    }

    /// Returns the search as an address has it.
    pub(super) fn write(&self) -> String {
        let parts = FIELDS.iter().zip(&self.0).filter(|(_, value)| !value.is_empty());
        let parts: Vec<String> =
            parts.map(|((name, ..), value)| format!("{name}:{}", query::encode(value))).collect();
        parts.join(" ")
    }

    /// Returns the API's URL. A click's id is searched for in all of the ledger, whatever the range.
    pub(super) fn url(&self, view: &View, now_ms: i64, limit: usize) -> String {
        let limit = [("limit", Some(limit.to_string()))];
        http::url(CLICKS, self.parameters(view, now_ms).into_iter().chain(limit))
    }

    /// Returns the query alone, for another request about the same clicks.
    pub(super) fn query(&self, view: &View, now_ms: i64) -> String {
        http::url("", self.parameters(view, now_ms))
    }

    fn parameters(&self, view: &View, now_ms: i64) -> Vec<(&'static str, Option<String>)> {
        let fields = FIELDS.iter().zip(&self.0).filter(|(_, value)| !value.is_empty());
        let fields = fields.map(|((_, name, _), value)| (*name, Some(value.clone())));
        let (start, end) = if self.0[0].is_empty() {
            let (start, end) = view.times(now_ms);
            (Some(start), end)
        } else {
            (None, None)
        };
        let rest = [
            ("advertiser_id", view.scope.as_ref().map(ToString::to_string)),
            ("start_time", start),
            ("end_time", end),
        ];
        fields.chain(rest).collect()
    }
}

#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The present search.
    pub(super) search: Search,
    /// The failure of the request, if it has failed.
    pub(super) failure: Option<Failure>,
    /// Hears the next search.
    pub(super) onsearch: Callback<Search>,
}

/// The fields above the list.
#[component]
pub(super) fn Filters(props: &Props) -> Html {
    let entered = use_state_eq(|| props.search.clone());
    let texts = texts(&use_access());
    {
        // The same fields for another address: the focus stays in them.
        let entered = entered.setter();
        use_effect_with(props.search.clone(), move |search| entered.set(search.clone()));
    }
    let set = |at: usize| {
        let entered = entered.clone();
        Callback::from(move |text: String| {
            let mut search = (*entered).clone();
            search.0[at] = text.trim().to_owned();
            entered.set(search);
        })
    };
    let choose = |at: usize| {
        let (entered, onsearch) = (entered.clone(), props.onsearch.clone());
        Callback::from(move |chosen: AttrValue| {
            let mut search = (*entered).clone();
            search.0[at] = chosen.to_string();
            onsearch.emit(search);
        })
    };
    let onsubmit = {
        let (entered, onsearch) = (entered.clone(), props.onsearch.clone());
        on_submit(move || onsearch.emit((*entered).clone()))
    };
    let onclear = props.onsearch.reform(|_: MouseEvent| Search::default());
    let text = |at: usize| {
        let (name, of_api, label) = FIELDS[at];
        let error = props.failure.as_ref().and_then(|failure| failure.of_field(of_api));
        html! { <Field key={name} id={format!("click-{name}")} {label} value={entered.0[at].clone()} oninput={set(at)} {error} /> }
    };
    let list = |at: usize, known: Vec<(&'static str, &'static str)>| {
        let (name, _, label) = FIELDS[at];
        let mut options = vec![(AttrValue::default(), AttrValue::from(words::EVERYTHING))];
        options.extend(known.into_iter().map(|(key, text)| (key.into(), text.into())));
        let value = entered.0[at].clone();
        if !options.iter().any(|(key, _)| *key == value) {
            // Several at once, out of a link.
            options.push((value.clone().into(), value.clone().into()));
        }
        html! { <Select id={format!("click-{name}")} {label} {options} {value} onchoose={choose(at)} /> }
    };
    let verdicts = Disposition::ALL.map(|known| (known.as_str(), words::verdict(known.as_str())));
    let invalid = ("givt,sivt", words::INVALID_BOTH.get());
    let rules = Rule::ALL.map(|known| (known.as_str(), words::rule(known.as_str())));
    html! {
        <form class="toolbar search" {onsubmit} role="search">
            { list(VERDICT, std::iter::once(invalid).chain(verdicts).collect()) }
            { list(RULE, rules.to_vec()) }
            { for (0..texts).map(text) }
            <div class="search-end">
                <button type="submit" class="primary">{ words::SEARCH }</button>
                if props.search != Search::default() {
                    <button type="button" class="quiet" onclick={onclear}>{ words::CLEAR }</button>
                }
            </div>
        </form>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{query::Query, route::Route, router::Place, zone::Zone};

    #[test]
    fn what_is_looked_for_is_the_same_again_and_is_asked() {
        let view = |address: &str| View {
            place: Place::new(Route::Clicks, Query::read(address)),
            scope: Some(clickwire_protocol::ids::AdvertiserId::unchecked("adv_001")),
            zone: Zone::utc(),
        };
        let day = "advertiser_id=adv_001&start_time=1970-01-01T00:00:00Z&limit=100";
        for (text, asked) in [
            ("", String::new()),
            ("ad:ad_001 verdict:givt,sivt", "ad_id=ad_001&disposition=givt,sivt&".to_owned()),
            ("address:00ff rule:ip_velocity", "ip_hash=00ff&rule=ip_velocity&".to_owned()),
            ("user:Anna%20M. os:Windows%2010", "user_id=Anna%20M.&os=Windows%2010&".to_owned()),
        ] {
            let search = Search::read(text);
            assert_eq!(search.write(), text);
            let now_ms = 1_440 * 60_000;
            assert_eq!(search.url(&view(""), now_ms, 100), format!("{CLICKS}?{asked}{day}"));
        }
        assert_eq!(
            Search::read("rule:duplicate").url(&view("?r=2026-11-01..2026-11-08"), 0, 1),
            "/api/v1/clicks?rule=duplicate&advertiser_id=adv_001&start_time=2026-11-01T00:00:00Z&end_time=2026-11-08T00:00:00Z&limit=1"
        );
        assert_eq!(
            Search::read("id:x").url(&view(""), 0, 1),
            "/api/v1/clicks?click_id=x&advertiser_id=adv_001&limit=1",
            "whenever it was"
        );
        assert_eq!(Search::read("colour:red x"), Search::default());
    }

    #[test]
    fn fields_of_text_say_what_is_wrong_with_them() {
        assert_eq!(FIELDS[..TEXTS].iter().map(|(_, name, _)| *name).collect::<Vec<_>>(), SHOWN);
        assert_eq!((FIELDS[VERDICT].0, FIELDS[RULE].0), ("verdict", "rule"));
    }
}
