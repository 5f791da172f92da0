//! Texts of the overview: an advertiser's clicks as they happen, and the status of the numbers.

use clickwire_protocol::{alerts::FraudRate, live::close};

use crate::{
    format,
    freshness::Delay,
    model::{Cause, Status},
};

// The numbers.
texts! {
    CLICKS_BY_MINUTE = "Clicks by minute";
    BY_CAMPAIGN = "By campaign";
    NO_CLICKS_TO_SHARE = "no clicks yet";
    MEASURING_RATE = "measuring the rate";
    FRAUD_RATE = "Fraud rate";
    LAST_MINUTE = "Last minute";
    LAST_KNOWN_MINUTE = "Last known minute";
    SHARE = "Share";
    DUPLICATES = "Duplicates";
    NO_CAMPAIGN_HAD_CLICKS = "No campaign had a click yet.";
    LABEL_CLICKS = "clicks";
    LABEL_BILLABLE = "billable";
    LABEL_INVALID = "invalid";
    LABEL_DUPLICATES = "duplicates";
}

// The chart.
texts! {
    CHART = "chart";
    CLICKS_APPEAR = "They appear here within a second.";
    PROVISIONAL_WHY = "Late clicks and verdicts on fraud can still change these minutes";
    OTHER_CAMPAIGNS = "Other";
    LAST_SECONDS = "Last 60 seconds";
    ABOUT = "about";
    STILL_PROVISIONAL = "provisional";
}

// The connection.
texts! {
    CONNECT_AGAIN = "Connect again";
    CONNECT_NOW = "Connect now";
    CLOSED_FOR_GOOD = "The server closed the connection and asked not to come back by itself. The page may be older than the server: load it again.";
    ADVERTISERS_MISSING = "The list of advertisers could not be loaded; trying again.";
}

/// The last minutes.
pub fn in_last(window: &str) -> String {
    say!("last {window}", window)
}

/// Subject of the table.
pub fn campaigns_in_last(window: &str) -> String {
    say!("Clicks by campaign in the last {window}", window)
}

/// Description of the chart for screen readers.
pub fn minutes_in_last(window: &str) -> String {
    say!(
        "Clicks a minute in the last {window}, stacked by campaign. Left and right arrow keys read single minutes.",
        window
    )
}

/// A chart without clicks.
pub fn no_clicks_in_last(window: &str) -> String {
    say!("No clicks in the last {window} yet", window)
}

/// A part of all clicks.
pub fn of_clicks(share: &str) -> String {
    say!("{share} of clicks", share)
}

/// Present rate of clicks.
pub fn now_per_second(rate: f64) -> String {
    say!("now {rate} per second", rate = format::per_second(rate))
}

/// The last minute whose clicks are known.
pub fn minute_up_to(at: &str) -> String {
    say!("the minute up to {at}", at)
}

/// Number of invalid clicks.
pub fn invalid(clicks: i64) -> String {
    say!("{count} invalid", count = format::count(clicks))
}

/// The deployment's thresholds of fraud.
pub fn thresholds(rule: &FraudRate) -> String {
    let percent = |percent: u32| format::percent(Some(f64::from(percent) / 100.0));
    say!(
        "warning from {warning}, critical from {critical}",
        warning = percent(rule.warning_percent),
        critical = percent(rule.critical_percent)
    )
}

/// Further rows of the table.
pub fn show_more(more: usize, all: usize) -> String {
    say!(
        "Show {more} more of {all} campaigns",
        more = format::count(more as i64),
        all = format::count(all as i64)
    )
}

/// Time from which numbers may still change.
pub fn provisional_from(at: &str) -> String {
    say!("Provisional from {at}", at)
}

/// A point of the chart, in a sentence.
pub fn clicks_at(time: &str, clicks: &str) -> String {
    say!("{time}: {clicks} clicks", time, clicks)
}

/// Time at which the numbers end.
pub fn as_of(at: &str) -> String {
    say!("as of {at}", at)
}

/// Status of the numbers, in a word or two.
pub fn status(status: Status) -> &'static str {
    match status {
        Status::Live | Status::Streaming | Status::Polling => say!("Live"),
        Status::Delayed(_) => say!("Delayed"),
        Status::Connecting => say!("Connecting"),
        Status::Offline(_) => say!("Offline"),
        Status::Refused(close::UNAUTHORIZED) => say!("Not authorised"),
        Status::Refused(_) => say!("Disconnected"),
    }
}

/// Details of the status; empty where there is nothing to add.
pub fn status_detail(status: Status) -> String {
    match status {
        Status::Polling => say!("every 2 s").to_owned(),
        Status::Delayed(Delay::Ms(lag_ms)) => super::age(lag_ms),
        Status::Delayed(Delay::Unknown) => say!("nothing counted yet").to_owned(),
        Status::Offline(Cause::NoNetwork) => say!("no network").to_owned(),
        Status::Offline(Cause::Silence) => say!("no answer").to_owned(),
        Status::Offline(Cause::Lost { seconds: 0 }) => say!("connecting").to_owned(),
        Status::Offline(Cause::Lost { seconds }) => say!("again in {seconds} s", seconds),
        Status::Live | Status::Streaming | Status::Connecting | Status::Refused(_) => String::new(),
    }
}
