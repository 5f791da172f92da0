//! The session's promises, one a test.

use clickwire_protocol::counts::Counts;

use clickwire_protocol::feed::Position;

use super::*;

mod over_http;

const NOW: i64 = 1_700_000_000_000;

/// The present second.
const SECOND: i64 = NOW / 1_000;

/// Valid clicks of all minutes.
fn total(session: &Session) -> i64 {
    session.board.total().sum(0..usize::MAX).valid
}

fn welcome(advertisers: Option<&[&str]>) -> Event {
    Event::Received(ServerMessage::Welcome {
        session: "s".into(),
        heartbeat_ms: 20_000,
        advertisers: advertisers.map(|ids| ids.iter().map(|id| AdvertiserId::unchecked(*id)).collect()),
    })
}

fn cell(valid: i64) -> ViewCell {
    ViewCell {
        minute: UnixMs(NOW).minute(),
        group: vec!["camp_001".into()],
        counts: Counts { valid, ..Counts::default() },
    }
}

fn snapshot(id: u32, seq: u64, valid: i64) -> Event {
    Event::Received(ServerMessage::Snapshot {
        id,
        epoch: "e".into(),
        seq,
        cells: vec![cell(valid)],
        rates: vec![],
        progress: Some(Progress::new(UnixMs(NOW), Some(UnixMs(NOW)))),
    })
}

fn delta(id: u32, from: u64, seq: u64, valid: i64) -> Event {
    Event::Received(ServerMessage::Delta {
        id,
        epoch: "e".into(),
        from,
        seq,
        cells: vec![cell(valid)],
        rates: vec![Rate { second: SECOND, clicks: valid }],
        progress: None,
    })
}

/// A session that has its first snapshot, up to `seq` 4.
fn settled() -> Session {
    let mut session = Session::new(Credential::Token("secret".into()), 60);
    for event in [Event::Start, Event::Opened, welcome(Some(&["adv_001"])), snapshot(1, 4, 10)] {
        session.take(event, NOW, 0.5);
    }
    assert!(session.settled);
    session
}

fn subscriptions(effects: &[Effect]) -> Vec<(u32, Option<Position>)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send(ClientMessage::Subscribe { id, since, .. }) => Some((*id, since.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn connects_authenticates_and_watches_the_first_advertiser() {
    let mut session = Session::new(Credential::Token("secret".into()), 60);
    let effects = session.take(Event::Start, NOW, 0.5);
    assert!(effects.contains(&Effect::Open));
    assert!(effects.contains(&Effect::Set(Timer::Handshake, HANDSHAKE_MS)));
    let effects = session.take(Event::Opened, NOW, 0.5);
    assert_eq!(effects, [Effect::Send(ClientMessage::Auth { token: Some("secret".into()) })]);
    let effects = session.take(welcome(Some(&["adv_002", "adv_001"])), NOW, 0.5);
    assert_eq!(session.advertiser_id.as_ref().map(AdvertiserId::as_str), Some("adv_002"));
    assert_eq!(subscriptions(&effects), [(1, None)]);
    assert!(effects.contains(&Effect::Stop(Timer::Handshake)));
    assert!(effects.contains(&wait(QUIET_MS)));
    assert!(effects.contains(&Effect::ListCampaigns(AdvertiserId::unchecked("adv_002"))));
}

#[test]
fn the_administrator_chooses_first() {
    let mut session = Session::new(Credential::Token("secret".into()), 60);
    session.take(Event::Start, NOW, 0.5);
    let effects = session.take(welcome(None), NOW, 0.5);
    assert_eq!(subscriptions(&effects), []);
    assert!(effects.contains(&Effect::ListAdvertisers));
    let effects = session.take(Event::ChooseAdvertiser(AdvertiserId::unchecked("adv_003")), NOW, 0.5);
    assert_eq!(subscriptions(&effects), [(1, None)]);
}

#[test]
fn values_are_absolute_and_follow_each_other() {
    let mut session = settled();
    session.take(delta(1, 4, 6, 12), NOW, 0.5);
    assert_eq!(total(&session), 12);
    assert_eq!(session.state.rates.last_key_value(), Some((&SECOND, &12)));
}

#[test]
fn a_lost_connection_is_resumed_where_the_state_ends() {
    let mut session = settled();
    let effects = session.take(Event::Closed { code: 1006, reason: String::new() }, NOW, 0.5);
    assert!(effects.contains(&Effect::Set(Timer::Retry, 125)));
    assert_eq!(session.phase, Phase::Waiting(NOW + 125));
    assert!(session.take(Event::Fired(Timer::Retry), NOW, 0.5).contains(&Effect::Open));
    let effects = session.take(welcome(Some(&["adv_001"])), NOW, 0.5);
    assert_eq!(subscriptions(&effects), [(2, Some(Position { epoch: "e".into(), seq: 4 }))]);
    session.take(delta(2, 4, 9, 30), NOW, 0.5);
    assert_eq!(total(&session), 30);
}

#[test]
fn after_a_gap_everything_is_asked_for_and_old_deltas_are_ignored() {
    let mut session = settled();
    let effects = session.take(delta(1, 7, 8, 99), NOW, 0.5);
    assert_eq!(effects[0], Effect::Send(ClientMessage::Unsubscribe { id: 1 }));
    assert_eq!(subscriptions(&effects), [(2, None)]);
    assert_eq!(total(&session), 10, "still shown");
    for stale in [delta(1, 8, 9, 98), delta(2, 8, 9, 97), snapshot(1, 9, 96)] {
        assert_eq!(session.take(stale, NOW, 0.5), []);
        assert_eq!(total(&session), 10);
    }
    session.take(snapshot(2, 9, 50), NOW, 0.5);
    assert_eq!(total(&session), 50);
}

#[test]
fn a_reset_waits_for_its_snapshot() {
    let mut session = settled();
    assert_eq!(session.take(Event::Received(ServerMessage::Reset { id: 1 }), NOW, 0.5), []);
    assert_eq!(session.take(delta(1, 4, 5, 99), NOW, 0.5), []);
    session.take(snapshot(1, 1, 20), NOW, 0.5);
    assert_eq!(total(&session), 20);
}

#[test]
fn another_window_keeps_the_cells_another_advertiser_does_not() {
    let mut session = settled();
    let effects = session.take(Event::ChooseWindow(240), NOW, 0.5);
    assert_eq!(effects[0], Effect::Send(ClientMessage::Unsubscribe { id: 1 }));
    assert_eq!(subscriptions(&effects), [(2, None)]);
    assert_eq!(total(&session), 10);
    assert_eq!(session.take(Event::ChooseWindow(240), NOW, 0.5), []);
    session.take(Event::ChooseAdvertiser(AdvertiserId::unchecked("adv_002")), NOW, 0.5);
    assert_eq!(total(&session), 0);
    assert!(!session.settled);
}

#[test]
fn back_off_grows_until_a_connection_was_good() {
    let mut session = settled();
    let lose = |session: &mut Session, now_ms| {
        session.take(Event::Closed { code: close::RECONNECT, reason: String::new() }, now_ms, 1.0);
        match session.phase {
            Phase::Waiting(until_ms) => until_ms - now_ms,
            phase => panic!("{phase:?}"),
        }
    };
    assert_eq!([lose(&mut session, NOW), lose(&mut session, NOW), lose(&mut session, NOW)], [250, 500, 1000]);
    session.take(welcome(Some(&["adv_001"])), NOW, 0.5);
    assert_eq!(lose(&mut session, NOW + 9_000), 2000, "welcomed, but not for long");
    session.take(welcome(Some(&["adv_001"])), NOW, 0.5);
    assert_eq!(lose(&mut session, NOW + 10_000), 250);
}

#[test]
fn codes_that_forbid_it_are_final() {
    let mut session = settled();
    let effects = session.take(Event::Closed { code: close::UNAUTHORIZED, reason: String::new() }, NOW, 0.5);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Set(..))));
    assert_eq!(session.phase, Phase::Refused(close::UNAUTHORIZED));
    assert_eq!(session.take(Event::Woken, NOW, 0.5), []);
}

#[test]
fn a_gateway_that_goes_away_says_when_to_come_back() {
    let mut session = settled();
    let effects = session.take(Event::Closed { code: close::RECONNECT, reason: "750".to_owned() }, NOW, 0.0);
    assert_eq!(effects.last(), Some(&Effect::Set(Timer::Retry, 750)));
    assert_eq!(session.phase, Phase::Waiting(NOW + 750));
}

#[test]
fn a_handshake_that_hangs_is_given_up() {
    let mut session = Session::new(Credential::Token("secret".into()), 60);
    session.take(Event::Start, NOW, 0.5);
    let effects = session.take(Event::Fired(Timer::Handshake), NOW, 0.5);
    assert_eq!(effects[0], Effect::Close);
    assert!(matches!(session.phase, Phase::Waiting(_)));
}

#[test]
fn a_gateway_that_is_silent_is_asked_soon_and_given_up_later() {
    let mut session = settled();
    let beat = Event::Fired(Timer::Heartbeat);
    assert_eq!(session.take(beat.clone(), NOW + 700, 0.5), [wait(QUIET_MS - 700)], "it was heard just now");
    let effects = session.take(beat.clone(), NOW + QUIET_MS, 0.5);
    assert_eq!(effects, [Effect::Send(ClientMessage::Ping {}), wait(QUIET_MS)]);
    // Whatever it says is an answer.
    session.take(Event::Received(ServerMessage::Pong), NOW + QUIET_MS, 0.5);
    assert_eq!(session.take(beat.clone(), NOW + QUIET_MS + 1, 0.5), [wait(QUIET_MS - 1)]);
    session.take(beat.clone(), NOW + QUIET_MS + GONE_MS - 1, 0.5);
    assert!(matches!(session.phase, Phase::Live(_)), "one that stands still for a moment keeps its sessions");
    session.take(beat, NOW + QUIET_MS + GONE_MS, 0.5);
    assert!(matches!(session.phase, Phase::Waiting(_)));
}

#[test]
fn what_was_before_the_window_is_asked_for_and_seconds_are_known_from_then_on() {
    let mut session = Session::new(Credential::Token("secret".into()), 60);
    for event in [Event::Start, Event::Opened, welcome(Some(&["adv_001"]))] {
        session.take(event, NOW, 0.5);
    }
    let asked = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::AskPast { from, to, .. } => Some((*from, *to)),
            _ => None,
        })
    };
    let first = UnixMs(NOW).minute() - 59;
    assert_eq!(asked(&session.take(snapshot(1, 4, 10), NOW, 0.5)), Some((first - 60, first)));
    assert_eq!(session.rates_from, Some(SECOND), "of the seconds before nothing is known");
    assert_eq!(asked(&session.take(delta(1, 4, 5, 11), NOW + 5_000, 0.5)), None);
    assert_eq!(session.rates_from, Some(SECOND));
    // After an interruption both begin anew.
    session.take(Event::Closed { code: 1006, reason: String::new() }, NOW + 9_000, 0.5);
    assert!(!session.current);
    session.take(welcome(Some(&["adv_001"])), NOW + 40_000, 0.5);
    let first = UnixMs(NOW + 40_000).minute() - 59;
    let nothing_new = Event::Received(ServerMessage::Delta {
        id: 2,
        epoch: "e".into(),
        from: 5,
        seq: 5,
        cells: vec![],
        rates: vec![],
        progress: Some(Progress::new(UnixMs(NOW + 40_000), Some(UnixMs(NOW + 40_000)))),
    });
    assert_eq!(asked(&session.take(nothing_new, NOW + 40_000, 0.5)), Some((first - 60, first)));
    assert_eq!((session.current, session.rates_from), (true, Some(SECOND + 40)));
}

#[test]
fn minutes_that_a_delayed_screen_shows_are_kept() {
    let mut session = settled();
    let delayed = |at: i64| {
        Event::Received(ServerMessage::Delta {
            id: 1,
            epoch: "e".into(),
            from: 4,
            seq: 4,
            cells: vec![],
            rates: vec![],
            progress: Some(Progress::new(UnixMs(at), Some(UnixMs(NOW)))),
        })
    };
    session.take(delayed(NOW + 30 * MINUTE_MS), NOW + 30 * MINUTE_MS, 0.5);
    assert_eq!(session.board.first(), UnixMs(NOW).minute() - 59);
    let Event::Received(ServerMessage::Delta { id, epoch, from, seq, cells, rates, .. }) = delta(1, 4, 5, 12)
    else {
        unreachable!()
    };
    let at = UnixMs(NOW + 31 * MINUTE_MS);
    let progress = Some(Progress::new(at, Some(at)));
    let up_to_date = ServerMessage::Delta { id, epoch, from, seq, cells, rates, progress };
    session.take(Event::Received(up_to_date), at.0, 0.5);
    assert_eq!(session.board.first(), at.minute() - 59);
}

#[test]
fn waking_connects_at_once_or_asks_whether_the_socket_lives() {
    let mut session = settled();
    assert!(session.take(Event::Woken, NOW, 0.5).contains(&Effect::Send(ClientMessage::Ping {})));
    session.take(Event::Closed { code: 1006, reason: String::new() }, NOW, 0.5);
    let effects = session.take(Event::Woken, NOW, 0.5);
    assert!(effects.contains(&Effect::Open) && effects.contains(&Effect::Stop(Timer::Retry)));
}
