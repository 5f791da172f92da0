//! The session's promises, one a test.

use clickwire_protocol::counts::Counts;

use clickwire_protocol::feed::Position;

use super::{
    over_http::{ANSWERED_MS, POLL_MS, STREAM_SILENT_MS},
    *,
};

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

/// The question that is asked over HTTP.
fn question(effects: &[Effect]) -> Option<(u32, Option<Position>)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Poll { number, since, .. } => Some((*number, since.clone())),
        _ => None,
    })
}

/// The number of the stream that is begun.
fn stream(effects: &[Effect]) -> Option<u32> {
    effects.iter().find_map(|effect| match effect {
        Effect::Stream { number, .. } => Some(*number),
        _ => None,
    })
}

fn lost() -> Event {
    Event::Closed { code: 1006, reason: String::new() }
}

fn told(message: Event) -> Streamed {
    let Event::Received(message) = message else { unreachable!() };
    Streamed::Told(message)
}

/// Settled before, and then no socket came about two times.
fn stepped_down() -> (Session, Vec<Effect>) {
    let mut session = settled();
    for what in ["one that was good is only lost", "one alone may be chance"] {
        let effects = session.take(lost(), NOW, 0.5);
        assert_eq!((question(&effects), stream(&effects)), (None, None), "{what}");
        session.take(Event::Fired(Timer::Retry), NOW, 0.5);
    }
    let effects = session.take(lost(), NOW, 0.5);
    (session, effects)
}

#[test]
fn where_no_socket_comes_about_events_are_streamed_until_one_does() {
    let (mut session, effects) = stepped_down();
    let number = stream(&effects).unwrap();
    assert!(effects.contains(&Effect::Set(Timer::Stream, ANSWERED_MS)), "the first may take its time");
    assert!(question(&effects).is_some() && !session.streamed, "and it asks until something has come");

    let effects = session.take(Event::Streamed(number, told(snapshot(1, 6, 12))), NOW + 1, 0.5);
    assert!(effects.contains(&Effect::Stop(Timer::Poll)), "{effects:?}");
    assert!(effects.contains(&Effect::Set(Timer::Stream, STREAM_SILENT_MS)), "{effects:?}");
    assert!(session.streamed && total(&session) == 12);
    session.take(Event::Streamed(number, told(delta(1, 6, 7, 14))), NOW + 2, 0.5);
    assert_eq!((total(&session), session.freshness.heard_ms), (14, Some(NOW + 2)));

    // What does not follow is no news: everything is asked for.
    let effects = session.take(Event::Streamed(number, told(delta(1, 9, 10, 99))), NOW, 0.5);
    let (number, since) = question(&effects).unwrap();
    assert!(effects.contains(&Effect::EndStream) && since.is_none() && !session.streamed);
    let Event::Received(whole) = snapshot(1, 10, 20) else { unreachable!() };
    session.take(Event::Polled(number, Polled::Told(whole)), NOW, 0.5);
    assert!(session.polled && total(&session) == 20);

    // Another window is another stream; what still comes of one that was dropped is not taken.
    session.take(Event::Fired(Timer::Retry), NOW, 0.5);
    let older = stream(&session.take(lost(), NOW, 0.5)).unwrap();
    let wider = stream(&session.take(Event::ChooseWindow(240), NOW, 0.5)).unwrap();
    session.take(Event::Streamed(older, told(snapshot(1, 11, 99))), NOW, 0.5);
    assert_eq!(total(&session), 20);
    session.take(Event::Streamed(wider, told(snapshot(1, 11, 30))), NOW, 0.5);
    assert!(session.streamed && total(&session) == 30);
    // A socket that is welcomed takes over.
    session.take(Event::Fired(Timer::Retry), NOW, 0.5);
    let effects = session.take(welcome(Some(&["adv_001"])), NOW, 0.5);
    assert!(effects.contains(&Effect::EndStream) && effects.contains(&Effect::Stop(Timer::Stream)));
    session.take(Event::Streamed(wider, told(snapshot(1, 12, 99))), NOW, 0.5);
    assert!(!session.streamed && total(&session) == 30);
}

#[test]
fn a_stream_that_tells_nothing_is_tried_again_later_and_later() {
    for end in [Event::Fired(Timer::Stream), Event::Streamed(2, Streamed::Ended)] {
        let (mut session, effects) = stepped_down();
        assert_eq!(stream(&effects), Some(2));
        let effects = session.take(end, NOW, 0.5);
        assert!(effects.contains(&Effect::EndStream) && question(&effects).is_none(), "{effects:?}");
        // Each socket that fails may have one tried beside the questions.
        let mut now = NOW;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let begun = now;
            let number = loop {
                session.take(Event::Fired(Timer::Retry), now, 0.5);
                if let Some(number) = stream(&session.take(lost(), now, 0.5)) {
                    break number;
                }
                now += 1_000;
            };
            pauses.push((now - begun) / 1_000);
            session.take(Event::Streamed(number, Streamed::Ended), now, 0.5);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        // One that has told something was a good one.
        let number = loop {
            now += 1_000;
            session.take(Event::Fired(Timer::Retry), now, 0.5);
            if let Some(number) = stream(&session.take(lost(), now, 0.5)) {
                break number;
            }
        };
        session.take(Event::Streamed(number, told(snapshot(1, 9, 20))), now, 0.5);
        let effects = session.take(Event::Fired(Timer::Stream), now, 0.5);
        assert!(question(&effects).is_some(), "{effects:?}");
        session.take(Event::Fired(Timer::Retry), now, 0.5);
        assert!(stream(&session.take(lost(), now, 0.5)).is_some(), "at once");
    }
}

#[test]
fn where_no_stream_comes_through_it_asks_until_a_socket_does() {
    let (mut session, effects) = stepped_down();
    session.take(Event::Fired(Timer::Stream), NOW, 0.5);
    let (number, since) = question(&effects).unwrap();
    assert_eq!(since, Some(Position { epoch: "e".into(), seq: 4 }), "from where the state ends");
    assert!(effects.contains(&Effect::Set(Timer::Poll, ANSWERED_MS)), "a slow answer is waited for");

    let Event::Received(told) = delta(1, 4, 6, 12) else { unreachable!() };
    let effects = session.take(Event::Polled(number, Polled::Told(told)), NOW + 1, 0.5);
    assert_eq!(effects[0], Effect::Set(Timer::Poll, POLL_MS));
    assert!(session.polled && total(&session) == 12);
    assert_eq!(session.freshness.heard_ms, Some(NOW + 1));
    let (next, since) = question(&session.take(Event::Fired(Timer::Poll), NOW, 0.5)).unwrap();
    assert_eq!(since.map(|since| since.seq), Some(6));
    session.take(Event::Polled(next, Polled::Failed), NOW, 0.5);
    assert!(!session.polled, "numbers are not kept up any more");

    // Another window is asked for at once; the answer to the question before is none to this one.
    let effects = session.take(Event::ChooseWindow(240), NOW, 0.5);
    let (wider, since) = question(&effects).unwrap();
    assert!(since.is_none() && stream(&effects).is_none(), "too soon for another stream");
    let Event::Received(late) = snapshot(1, 9, 99) else { unreachable!() };
    session.take(Event::Polled(next, Polled::Told(late)), NOW, 0.5);
    assert_eq!(total(&session), 12);

    // Sockets are still tried, and one that is welcomed takes over.
    session.take(lost(), NOW, 0.5);
    session.take(Event::Fired(Timer::Retry), NOW, 0.5);
    let effects = session.take(welcome(Some(&["adv_001"])), NOW, 0.5);
    assert!(effects.contains(&Effect::Stop(Timer::Poll)) && !session.polled);
    let Event::Received(late) = snapshot(1, 9, 99) else { unreachable!() };
    session.take(Event::Polled(wider, Polled::Told(late)), NOW, 0.5);
    assert_eq!(total(&session), 12);
}

#[test]
fn who_is_refused_over_http_asks_no_more() {
    let mut session = Session::new(Credential::Cookie, 60);
    session.take(Event::Start, NOW, 0.5);
    session.take(Event::Fired(Timer::Handshake), NOW, 0.5);
    session.take(Event::Fired(Timer::Retry), NOW, 0.5);
    let effects = session.take(Event::Fired(Timer::Handshake), NOW, 0.5);
    assert!(effects.contains(&Effect::ListAdvertisers) && question(&effects).is_none(), "of whom?");
    let effects = session.take(Event::ChooseAdvertiser(AdvertiserId::unchecked("adv_001")), NOW, 0.5);
    let number = question(&effects).unwrap().0;
    let effects = session.take(Event::Streamed(stream(&effects).unwrap(), Streamed::Ended), NOW, 0.5);
    assert_eq!(question(&effects), None, "who is refused hears it by the question");
    assert!(!matches!(session.phase, Phase::Refused(_)), "a proxy may refuse streams");
    let effects = session.take(Event::Polled(number, Polled::Refused), NOW, 0.5);
    assert_eq!(session.phase, Phase::Refused(close::UNAUTHORIZED));
    for timer in [Timer::Poll, Timer::Retry, Timer::Handshake] {
        assert!(effects.contains(&Effect::Stop(timer)), "{timer:?}");
    }
}

/// A session whose socket can't be had, with the question that it asks over HTTP instead.
fn away() -> (Session, u32) {
    let mut session = Session::new(Credential::Cookie, 60);
    session.advertiser_id = Some(AdvertiserId::unchecked("adv_001"));
    session.take(Event::Start, NOW, 0.5);
    session.take(lost(), NOW, 0.5);
    session.take(Event::Fired(Timer::Retry), NOW, 0.5);
    let number = question(&session.take(lost(), NOW, 0.5)).unwrap().0;
    (session, number)
}

#[test]
fn what_the_browser_kept_is_shown_as_what_was_counted_then_until_the_server_is_back() {
    const AGO: i64 = 3 * 3_600_000;
    let mut before = Session::new(Credential::Cookie, 60);
    assert_eq!(before.to_keep(), None, "nothing is known");
    before.take(Event::Start, NOW - AGO, 0.5);
    before.take(welcome(Some(&["adv_001"])), NOW - AGO, 0.5);
    assert_eq!(before.to_keep(), None, "nothing has been said");
    let Event::Received(ServerMessage::Snapshot { id, epoch, seq, rates, .. }) = snapshot(1, 4, 12) else {
        unreachable!()
    };
    let cells = vec![ViewCell { minute: UnixMs(NOW - AGO).minute(), ..cell(12) }];
    let at = UnixMs(NOW - AGO);
    for (counted_until, is_kept) in [(None, false), (Some(at), true)] {
        let progress = Some(Progress::new(at, counted_until));
        let (epoch, cells, rates) = (epoch.clone(), cells.clone(), rates.clone());
        let told = ServerMessage::Snapshot { id, epoch, seq, cells, rates, progress };
        before.take(Event::Received(told), NOW - AGO, 0.5);
        assert_eq!(before.to_keep().is_some(), is_kept, "{counted_until:?}");
    }
    let (view, kept) = before.to_keep().unwrap();
    assert_eq!(Some(&view), before.view().as_ref());

    let (mut session, number) = away();
    session.take(Event::Polled(number, Polled::Kept(kept.clone())), NOW, 0.5);
    assert_eq!((total(&session), session.freshness.as_of_ms()), (12, Some(NOW - AGO)));
    assert!(session.settled && !session.polled && !session.current, "nobody has said that it is so now");
    assert_eq!(session.freshness.heard_ms, None);
    assert_eq!(session.to_keep(), None, "kept already");
    let number = question(&session.take(Event::Fired(Timer::Poll), NOW, 0.5)).unwrap().0;
    // Back: everything is asked for, and what was kept is gone.
    let Event::Received(told) = snapshot(1, 9, 5) else { unreachable!() };
    session.take(Event::Polled(number, Polled::Told(told)), NOW, 0.5);
    assert_eq!((total(&session), session.polled), (5, true));
    // What is known is not replaced by what is old.
    let number = question(&session.take(Event::Fired(Timer::Poll), NOW, 0.5)).unwrap().0;
    session.take(Event::Polled(number, Polled::Kept(kept)), NOW, 0.5);
    assert_eq!((total(&session), session.polled), (5, false));
}
