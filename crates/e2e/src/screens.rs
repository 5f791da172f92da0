//! Dashboards that are open all the time, one for each advertiser.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use clickwire_client::Watch;
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{Sent, Stack};

/// Open dashboards.
pub struct Screens {
    shown: BTreeMap<String, watch::Receiver<i64>>,
    _tasks: JoinSet<()>,
}

impl Screens {
    /// Opens one dashboard for each advertiser.
    pub fn open<'a>(stack: &Stack, advertisers: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let (mut shown, mut tasks) = (BTreeMap::new(), JoinSet::new());
        for advertiser_id in advertisers {
            let (shows, shown_here) = watch::channel(0);
            let mut client = Watch::new(stack.as_admin()?, Stack::view(advertiser_id));
            tasks.spawn(async move {
                // A dashboard that is closed for good drops its sender, which says so below.
                while client.update().await.is_ok() {
                    shows.send_replace(client.state().total().received());
                }
            });
            shown.insert(advertiser_id.to_owned(), shown_here);
        }
        Ok(Self { shown, _tasks: tasks })
    }

    /// Waits until every screen shows what was sent, and nothing else.
    pub async fn show(&mut self, sent: &Sent, within: Duration) -> Result<()> {
        let all = async {
            for (advertiser_id, shown) in &mut self.shown {
                let expected = sent.get(advertiser_id).copied().unwrap_or_default();
                let reached = shown.wait_for(|shown| *shown == expected).await;
                reached.with_context(|| format!("the screen of {advertiser_id} is closed"))?;
            }
            anyhow::Ok(())
        };
        let reached = timeout(within, all).await;
        reached
            .with_context(|| format!("after {within:?} screens show {:?} instead of {sent:?}", self.now()))?
    }

    fn now(&self) -> Sent {
        self.shown.iter().map(|(advertiser_id, shown)| (advertiser_id.clone(), *shown.borrow())).collect()
    }
}
