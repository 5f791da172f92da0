//! Ranges to choose from.

use crate::{query::Range, route::Route, words};

/// Windows that gateways keep, in minutes.
pub(super) const LIVE: [u32; 4] = [5, 15, 60, 240];

/// Ranges of reports, in minutes.
const REPORTS: [u32; 7] = [60, 240, 1_440, 7 * 1_440, 14 * 1_440, 30 * 1_440, 90 * 1_440];

/// The range of a report without a range in its address, in minutes.
pub(super) const REPORT_MINUTES: u32 = 1_440;

/// Returns the range of a page without a range in its address, in minutes.
pub(super) fn usual(route: Route) -> u32 {
    if route == Route::Overview { crate::model::DEFAULT_WINDOW_MINUTES } else { REPORT_MINUTES }
}

/// Returns the ranges by key, with their texts.
pub(super) fn options(route: Route) -> Vec<(String, String)> {
    let lengths: &[u32] = if route == Route::Overview { &LIVE } else { &REPORTS };
    lengths.iter().map(|&minutes| (Range::Last(minutes).write(), words::last(minutes))).collect()
}
