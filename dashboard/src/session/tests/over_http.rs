//! Promises of a session where no socket comes about, one a test.

use super::{
    super::over_http::{ANSWERED_MS, POLL_MS, STREAM_SILENT_MS},
    *,
};

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

/// Returns a session that was settled before, and for which no socket came about two times.
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

#[test]
fn where_data_is_saved_sockets_and_streams_tell_changes_less_often() {
    for min_interval_ms in [None, Some(1_000)] {
        let mut session = Session::new(Credential::Cookie, 60);
        session.min_interval_ms = min_interval_ms;
        session.take(Event::Start, NOW, 0.5);
        let mut effects = session.take(welcome(Some(&["adv_001"])), NOW, 0.5);
        // The socket is lost, and then two do not come about.
        effects.extend(session.take(lost(), NOW, 0.5));
        for _ in 0..2 {
            effects.extend(session.take(Event::Fired(Timer::Retry), NOW, 0.5));
            effects.extend(session.take(lost(), NOW, 0.5));
        }
        let asked: Vec<Option<u32>> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send(ClientMessage::Subscribe { min_interval_ms, .. })
                | Effect::Stream { min_interval_ms, .. } => Some(*min_interval_ms),
                _ => None,
            })
            .collect();
        assert_eq!(asked, [min_interval_ms; 2]);
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
