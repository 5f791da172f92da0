//! The live views of this server and their viewers, for operators.

use std::{collections::BTreeMap, sync::Arc};

use clickwire_protocol::{ids::AdvertiserId, live::View};
use serde::Serialize;
use utoipa::ToSchema;

/// Advertisers, and views of each, that are listed, at most: those with the most watchers.
pub(crate) const LISTED: usize = 100;

/// The watched views of one advertiser.
#[derive(Serialize, ToSchema)]
pub(crate) struct Advertiser {
    #[schema(value_type = String)]
    advertiser_id: AdvertiserId,
    /// Subscriptions to any of its views.
    watchers: usize,
    /// The views, the most watched first; their filters say which campaign.
    views: Vec<WatchedView>,
}

#[derive(Serialize, ToSchema)]
struct WatchedView {
    watchers: usize,
    view: View,
    /// The viewers, those with the most connections first.
    present: Vec<Watcher>,
}

/// A viewer.
#[derive(Serialize, ToSchema)]
struct Watcher {
    /// The name as it stands in records.
    #[schema(value_type = String)]
    name: Arc<str>,
    /// Connections over which it watches.
    connections: usize,
}

impl WatchedView {
    fn new(view: View, present: BTreeMap<Arc<str>, usize>) -> Self {
        let watchers = present.values().sum();
        let present = present.into_iter().map(|(name, connections)| Watcher { name, connections });
        let mut present: Vec<_> = present.collect();
        present.sort_by_key(|watcher| std::cmp::Reverse(watcher.connections));
        present.truncate(LISTED);
        Self { watchers, view, present }
    }
}

impl Advertiser {
    pub(crate) fn watchers(&self) -> usize {
        self.watchers
    }

    /// Builds the entry of an advertiser from its views and the viewers of each.
    pub(crate) fn new(advertiser_id: AdvertiserId, views: Vec<(View, BTreeMap<Arc<str>, usize>)>) -> Self {
        let views = views.into_iter().map(|(view, present)| WatchedView::new(view, present));
        let mut views: Vec<_> = views.filter(|view| view.watchers > 0).collect();
        let watchers = views.iter().map(|view| view.watchers).sum();
        views.sort_by_key(|view| std::cmp::Reverse(view.watchers));
        views.truncate(LISTED);
        Self { advertiser_id, watchers, views }
    }
}
