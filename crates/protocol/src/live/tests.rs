//! Tests of the protocol's messages on the wire, and of a client's state after them.

use super::*;

fn cell(minute: i64, valid: i64) -> ViewCell {
    ViewCell { minute: Minute(minute), group: vec![], counts: Counts { valid, ..Counts::default() } }
}

#[test]
fn type_comes_first_and_unknown_fields_are_refused() {
    let wire = serde_json::to_string(&ClientMessage::Unsubscribe { id: 3 }).unwrap();
    assert_eq!(wire, r#"{"type":"unsubscribe","id":3}"#);
    assert_eq!(serde_json::from_str::<ClientMessage>(r#"{"type":"ping"}"#).unwrap(), ClientMessage::Ping {});
    assert!(serde_json::from_str::<ClientMessage>(r#"{"type":"ping","x":1}"#).is_err());
    assert!(serde_json::from_str::<ClientMessage>(r#"{"type":"nonsense"}"#).is_err());
}

#[test]
fn a_view_reads_with_defaults() {
    let topic: Topic =
        serde_json::from_str(r#"{"kind":"clicks","advertiser_id":"adv_001","window_minutes":60}"#).unwrap();
    let Topic::Clicks(view) = topic else { panic!("{topic:?}") };
    assert_eq!(view.filters, Filters::default());
    assert_eq!(view.first_minute(Minute(100)), Minute(41));
}

#[test]
fn a_view_is_watched_as_its_values_are_stored() {
    let view = |filters: &str, rest: &str| -> Result<View, Fault> {
        let text = format!(r#"{{"advertiser_id":"adv_001","filters":{filters}{rest}}}"#);
        serde_json::from_str::<View>(&text).unwrap().checked()
    };
    let hour = r#","window_minutes":60"#;
    let checked = view(r#"{"country":"us","campaign_id":"c"}"#, hour).unwrap();
    assert_eq!(checked, view(r#"{"country":"US","campaign_id":"c"}"#, hour).unwrap());
    assert_eq!(checked.filters.country.as_deref(), Some("US"));
    for (filters, rest, field) in [
        (r#"{"country":"Atlantis"}"#, hour, "country"),
        (r#"{"campaign_id":""}"#, hour, "campaign_id"),
        (r#"{"ad_id":"a b"}"#, hour, "ad_id"),
        ("{}", r#","window_minutes":0"#, "window_minutes"),
        ("{}", r#","window_minutes":241"#, "window_minutes"),
        ("{}", r#","window_minutes":1,"group_by":["ad_id","ad_id"]"#, "group_by"),
    ] {
        assert_eq!(view(filters, rest).unwrap_err().field.as_deref(), Some(field), "{filters}{rest}");
    }
}

#[test]
fn a_topic_has_its_own_fields_and_no_others() {
    assert_eq!(serde_json::from_str::<Topic>(r#"{"kind":"alerts"}"#).unwrap(), Topic::Alerts {});
    for wrong in [
        r#"{"kind":"alerts","advertiser_id":"adv_001"}"#,
        r#"{"kind":"clicks"}"#,
        r#"{"kind":"clicks","advertiser_id":"adv_001","window_minutes":60,"x":1}"#,
        r#"{"advertiser_id":"adv_001","window_minutes":60}"#,
    ] {
        assert!(serde_json::from_str::<Topic>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn deltas_apply_in_order_only_and_values_are_absolute() {
    let mut state = ViewState::default();
    assert_eq!(state.apply("e", 0, 1, vec![cell(1, 1)]), Applied::Gap);
    state.replace("e".into(), 4, vec![cell(1, 1), cell(2, 5)]);
    assert_eq!(state.apply("e", 4, 6, vec![cell(2, 7)]), Applied::Yes);
    assert_eq!(state.apply("e", 4, 6, vec![cell(2, 7)]), Applied::Gap);
    assert_eq!(state.apply("other", 6, 7, vec![]), Applied::Gap);
    assert_eq!(state.total().valid, 8);
    state.forget_before(Minute(2));
    assert_eq!(state.total().valid, 7);
}

#[test]
fn of_rates_the_latest_are_kept() {
    let rate = |second, clicks| Rate { second, clicks };
    let mut state = ViewState::default();
    state.note(&[rate(100, 3), rate(101, 1)], None);
    state.note(&[rate(101, 4), rate(100 + RATE_SECONDS, 7)], None);
    assert_eq!(state.rates, BTreeMap::from([(101, 4), (100 + RATE_SECONDS, 7)]));
}

#[test]
fn progress_is_kept_until_more_is_told_and_read_by_programs_that_do_not_know_it() {
    let wire = r#"{"type":"delta","id":1,"epoch":"e","from":4,"seq":4,"cells":[],"progress":{"at_ms":9,"counted_until_ms":7,"later":1}}"#;
    let ServerMessage::Delta { cells, rates, progress, .. } = serde_json::from_str(wire).unwrap() else {
        panic!("no delta")
    };
    let mut state = ViewState::default();
    state.replace("e".into(), 4, vec![cell(1, 1)]);
    state.note(&rates, progress);
    assert_eq!(state.apply("e", 4, 4, cells), Applied::Yes, "to those who look at cells alone");
    state.note(&[], None);
    assert_eq!(state.progress.and_then(|progress| progress.lag_ms()), Some(2));
    // A server of the version before tells of none.
    let before = r#"{"type":"snapshot","id":1,"epoch":"e","seq":4,"cells":[]}"#;
    assert!(matches!(serde_json::from_str(before).unwrap(), ServerMessage::Snapshot { progress: None, .. }));
}

#[test]
fn codes_say_whether_to_reconnect() {
    assert!(close::may_reconnect(1001), "a server that goes away without a word of ours");
    assert!(close::may_reconnect(close::HEARTBEAT_TIMEOUT));
    assert!(!close::may_reconnect(close::UNAUTHORIZED));
    assert_eq!(close::wait_ms(close::RECONNECT, "750"), Some(750));
    assert_eq!(close::wait_ms(close::RECONNECT, "4000000000"), Some(30_000));
    assert_eq!(close::wait_ms(close::RECONNECT, "soon"), None);
    assert_eq!(close::wait_ms(close::TOO_SLOW, "750"), None);
}
