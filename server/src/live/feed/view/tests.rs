use clickwire_protocol::{
    counts::DeviceType,
    ids::{AdId, AdvertiserId, CampaignId},
    live::Filters,
    times::{Minute, UnixMs},
};

use super::*;

fn view(group_by: Vec<clickwire_protocol::analytics::Dimension>) -> ViewState {
    ViewState::new(
        View {
            advertiser_id: AdvertiserId::unchecked("adv_001"),
            filters: Filters { country: Some("DE".into()), ..Filters::default() },
            group_by,
            window_minutes: 10,
        },
        InFlight::default(),
    )
}

impl ViewState {
    /// A snapshot of now, whatever was encoded since the last tick.
    pub(in crate::live) fn everything(&mut self) -> (ServerMessage, Cursor) {
        self.snapshot = None;
        let Step { body, to, .. } = self.start(None).unwrap();
        (body.frame(1).message(), to)
    }
}

fn next(state: &mut ViewState, told: &Cursor) -> (ServerMessage, Cursor) {
    let Step { body, to, .. } = state.next(told).unwrap();
    (body.frame(1).message(), to)
}

fn dimensions(country: &str, device_type: DeviceType) -> Dimensions {
    Dimensions {
        campaign_id: CampaignId::unchecked("c"),
        ad_id: AdId::unchecked("a"),
        country: country.into(),
        device_type,
    }
}

fn valid(valid: i64) -> Counts {
    Counts { valid, ..Counts::default() }
}

fn position(epoch: &str, seq: u64) -> Position {
    Position { epoch: epoch.into(), seq }
}

fn cells(message: &ServerMessage) -> Vec<(i64, i64)> {
    match message {
        ServerMessage::Snapshot { cells, .. } | ServerMessage::Delta { cells, .. } => {
            cells.iter().map(|cell| (cell.minute.0, cell.counts.valid)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_filter_admits_is_summed_by_group_and_leaves_with_the_window() {
    let mut state = view(vec![]);
    state.add(Minute(100), &dimensions("DE", DeviceType::Mobile), valid(1), 1);
    state.add(Minute(100), &dimensions("DE", DeviceType::Tablet), valid(2), 1);
    state.add(Minute(100), &dimensions("FR", DeviceType::Tablet), valid(4), 1);
    state.add(Minute(95), &dimensions("DE", DeviceType::Tablet), valid(8), 1);
    state.advance(&position("e", 1));
    state.tick(Minute(100), Minute(0), None);
    assert_eq!(cells(&state.everything().0), [(95, 8), (100, 3)]);
    state.tick(Minute(105), Minute(0), None);
    assert_eq!(cells(&state.everything().0), [(100, 3)]);
}

#[test]
fn a_minute_that_has_left_the_window_is_not_told_of_between_ticks_either() {
    let mut state = view(vec![]);
    state.advance(&position("e", 0));
    state.tick(Minute(100), Minute(0), None);
    let (_, told) = state.everything();
    state.add(Minute(90), &dimensions("DE", DeviceType::Mobile), valid(1), 1);
    state.advance(&position("e", 1));
    assert_eq!(cells(&state.everything().0), [], "to who arrives");
    assert_eq!(cells(&next(&mut state, &told).0), [], "to who was busy");
}

#[test]
fn a_session_that_was_busy_gets_the_present_once() {
    let mut state = view(vec![]);
    assert!(!state.has_news(None), "it is not loaded");
    state.advance(&position("e", 0));
    assert!(state.tick(Minute(100), Minute(0), None) && state.has_news(None));
    let (_, told) = state.everything();
    assert!(!state.tick(Minute(100), Minute(0), None) && !state.has_news(Some(&told)));
    for seq in 1..=3 {
        state.add(Minute(100), &dimensions("DE", DeviceType::Mobile), valid(1), seq);
        state.advance(&position("e", seq));
        state.tick(Minute(100), Minute(0), None);
    }
    assert!(state.has_news(Some(&told)));
    let (message, told) = next(&mut state, &told);
    assert_eq!(cells(&message), [(100, 3)]);
    assert!(matches!(message, ServerMessage::Delta { from: 0, seq: 3, .. }));
    assert!(!state.has_news(Some(&told)));
}

#[test]
fn a_watermark_is_news_at_once_when_there_was_none() {
    let mut state = view(vec![]);
    state.advance(&position("e", 0));
    let at = |at_ms, watermark: Option<i64>| Some(Progress::new(UnixMs(at_ms), watermark.map(UnixMs)));
    assert!(state.tick(Minute(100), Minute(0), at(1_000, None)));
    assert!(state.tick(Minute(100), Minute(0), at(1_100, Some(900))), "no time to wait has passed");
    assert!(!state.tick(Minute(100), Minute(0), at(1_200, Some(1_000))), "the next one is no such news");
}

#[test]
fn a_frame_that_was_encoded_before_says_where_it_ends() {
    let mut state = view(vec![]);
    state.advance(&position("e", 0));
    state.tick(Minute(100), Minute(0), None);
    let (_, told) = state.everything();
    state.add(Minute(100), &dimensions("DE", DeviceType::Mobile), valid(1), 1);
    state.advance(&position("e", 1));
    state.tick(Minute(100), Minute(0), None);
    let (first, _) = next(&mut state, &told);
    state.add(Minute(100), &dimensions("DE", DeviceType::Mobile), valid(1), 2);
    state.advance(&position("e", 2));
    let (second, told) = next(&mut state, &told);
    assert_eq!(first, second);
    assert_eq!(told.seq, 1, "the frame ends at 1, wherever the view is by now");
}

#[test]
fn sessions_share_what_they_are_told_whatever_their_ids() {
    let mut state = view(vec![]);
    state.add(Minute(100), &dimensions("DE", DeviceType::Mobile), valid(1), 5);
    state.advance(&position("e", 5));
    state.start_history(&position("e", 5));
    state.tick(Minute(100), Minute(0), None);
    let shared = |state: &mut ViewState, since: Option<&Position>| {
        let [one, other] = [3, 4_000_000].map(|id| state.start(since).unwrap().body.frame(id));
        assert_eq!(one.payload().1.as_ptr(), other.payload().1.as_ptr());
        assert_ne!(one.message(), other.message(), "each has its id");
    };
    shared(&mut state, None);
    shared(&mut state, Some(&position("e", 5)));
    let told = state.start(None).unwrap().to;
    state.add(Minute(100), &dimensions("DE", DeviceType::Mobile), valid(1), 6);
    state.advance(&position("e", 6));
    state.tick(Minute(100), Minute(0), None);
    let [one, other] = [3, 4_000_000].map(|id| state.next(&told).unwrap().body.frame(id));
    assert_eq!(one.payload().1.as_ptr(), other.payload().1.as_ptr());
}

#[test]
fn with_too_much_in_flight_large_messages_wait_and_small_ones_go_on() {
    let in_flight = InFlight::limited(300, usize::MAX);
    let mut state = ViewState { in_flight: in_flight.clone(), ..view(vec![]) };
    state.advance(&position("e", 1));
    state.tick(Minute(100), Minute(0), None);
    let told = state.start(None).unwrap().to;
    let held = Body::new(
        &ServerMessage::Error { id: None, code: "x".repeat(400), field: None, message: String::new() },
        &in_flight,
    );
    for seq in 2..4 {
        state.add(Minute(100), &dimensions("DE", DeviceType::Mobile), valid(1), seq);
        state.advance(&position("e", seq));
        assert!(state.tick(Minute(100), Minute(0), None));
        assert_eq!(state.next(&told).is_some(), seq == 2, "who keeps up is told");
    }
    assert!(state.start(None).is_none() && state.start(Some(&position("e", 3))).is_none());
    let news = state.subscribe();
    assert!(
        state.tick(Minute(100), Minute(0), None) && news.has_changed().unwrap(),
        "it is worth another try"
    );
    drop(held);
    assert!(state.start(None).is_some() && state.next(&told).is_some());
    assert!(!state.tick(Minute(100), Minute(0), None));
}

#[test]
fn a_session_that_starts_between_ticks_follows_on() {
    let mut state = view(vec![]);
    state.advance(&position("e", 0));
    state.tick(Minute(100), Minute(0), None);
    let (_, early) = state.everything();
    state.add(Minute(100), &dimensions("DE", DeviceType::Mobile), valid(1), 1);
    state.advance(&position("e", 1));
    let (_, late) = state.everything();
    state.tick(Minute(100), Minute(0), None);
    for (told, expected) in [(early, 0), (late, 1)] {
        let ServerMessage::Delta { from, .. } = next(&mut state, &told).0 else { panic!("no delta") };
        assert_eq!(from, expected);
    }
}

#[test]
fn a_position_resumes_in_its_own_epoch_and_range_only() {
    let mut state = view(vec![]);
    state.add(Minute(100), &dimensions("DE", DeviceType::Mobile), valid(1), 5);
    state.advance(&position("e", 5));
    state.start_history(&position("e", 5));
    state.tick(Minute(100), Minute(0), None);
    state.add(Minute(101), &dimensions("DE", DeviceType::Mobile), valid(2), 6);
    state.advance(&position("e", 6));
    state.tick(Minute(101), Minute(0), None);
    let mut since = |epoch, seq| state.start(Some(&position(epoch, seq))).unwrap().body.frame(1).message();
    assert_eq!(cells(&since("e", 5)), [(101, 2)]);
    assert!(matches!(since("e", 6), ServerMessage::Delta { .. }));
    for (epoch, seq) in [("e", 4), ("other", 7), ("", 0)] {
        assert!(matches!(since(epoch, seq), ServerMessage::Snapshot { .. }), "{epoch} {seq}");
    }
    let (_, told) = state.everything();
    state.advance(&position("f", 1));
    state.tick(Minute(101), Minute(0), None);
    assert!(state.next(&told).is_none() && state.has_begun_anew_since(&told));
}

#[test]
fn who_comes_from_a_gateway_that_is_ahead_is_not_taken_back() {
    let mut state = view(vec![]);
    state.advance(&position("e", 5));
    state.tick(Minute(100), Minute(0), None);
    let mut news = state.subscribe();
    news.mark_unchanged();
    let ahead = position("e", 7);
    assert!(state.start(Some(&ahead)).is_none());
    for (seq, announced) in [(6, false), (7, true), (8, false)] {
        state.advance(&position("e", seq));
        state.tick(Minute(100), Minute(0), None);
        assert_eq!(news.has_changed().unwrap(), announced, "{seq}");
        news.mark_unchanged();
    }
    let message = state.start(Some(&ahead)).unwrap().body.frame(1).message();
    assert!(matches!(message, ServerMessage::Delta { from: 7, seq: 8, .. }), "{message:?}");
}

#[test]
fn how_far_it_is_counted_is_told_with_news_once_a_second_and_alone_a_little_less_often() {
    let mut state = view(vec![]);
    let progress = |at_ms: i64| Some(Progress::new(UnixMs(at_ms), Some(UnixMs(at_ms - 300))));
    state.advance(&position("e", 0));
    assert!(state.tick(Minute(100), Minute(0), progress(0)));
    let (ServerMessage::Snapshot { progress: first, .. }, mut told) = state.everything() else { panic!() };
    assert_eq!(first, progress(0));
    let mut seq = 0;
    for (at_ms, is_news, expected) in [
        (200, false, None),
        (400, true, Some(None)),
        (1_200, true, Some(progress(1_200))),
        (1_400, true, Some(None)),
        (2_600, false, None),
        (2_700, false, Some(progress(2_700))),
        (1_000, false, Some(progress(1_000))),
    ] {
        if is_news {
            seq += 1;
            state.add(Minute(100), &dimensions("DE", DeviceType::Mobile), valid(1), seq);
            state.advance(&position("e", seq));
        }
        assert_eq!(state.tick(Minute(100), Minute(0), progress(at_ms)), expected.is_some(), "{at_ms}");
        let Some(expected) = expected else { continue };
        let [one, other] = [3, 4].map(|id| state.next(&told).unwrap().body.frame(id));
        assert_eq!(one.payload().1.as_ptr(), other.payload().1.as_ptr(), "{at_ms}: one for all");
        let message;
        (message, told) = next(&mut state, &told);
        assert!(
            matches!(&message, ServerMessage::Delta { progress, cells, .. }
                if *progress == expected && cells.is_empty() != is_news),
            "{at_ms}: {message:?}"
        );
    }
    let resumed = state.start(Some(&position("e", seq))).unwrap().body.frame(1).message();
    assert!(
        matches!(resumed, ServerMessage::Delta { progress: Some(_), .. }),
        "who comes back is told at once"
    );
}
