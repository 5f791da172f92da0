//! A session over HTTP, where no socket comes about: it asks, and has events streamed.

use clickwire_protocol::live::{ServerMessage, View, close};

use super::{Effect, Phase, Polled, Session, Streamed, Timer};

/// The pause between an answer and the next question, in milliseconds.
pub(super) const POLL_MS: u32 = 2_000;

/// The time after which a question without an answer is given up, in milliseconds.
pub(super) const ANSWERED_MS: u32 = 10_000;

/// The silence after which a stream is given up, in milliseconds: the server says something every
/// [`PROGRESS_MS`](clickwire_protocol::live::PROGRESS_MS). The first message may take as long as an answer.
pub(super) const STREAM_SILENT_MS: u32 = 5_000;

impl Session {
    /// Continues over HTTP: asks, and has events streamed, which take over as soon as they tell something.
    pub(super) fn step_down(&mut self, now_ms: i64) -> Vec<Effect> {
        let mut effects = self.end_stream();
        effects.extend(self.ask());
        effects.extend(self.begin_stream(now_ms));
        effects.extend(self.advertiser_id.clone().map(Effect::ListCampaigns));
        effects
    }

    /// Begins a stream of events, unless it is too soon after one that told nothing. Streams begin with everything,
    /// because the questions beside them may be ahead.
    pub(super) fn begin_stream(&mut self, now_ms: i64) -> Vec<Effect> {
        let Some(view) = self.view().filter(|_| self.patience.is_over(now_ms)) else { return Vec::new() };
        self.asked += 1;
        self.stream = Some(self.asked);
        let min_interval_ms = self.min_interval_ms;
        vec![
            Effect::Stream { number: self.asked, view, min_interval_ms },
            Effect::Set(Timer::Stream, ANSWERED_MS),
        ]
    }

    pub(super) fn end_stream(&mut self) -> Vec<Effect> {
        self.streamed = false;
        let ended = self.stream.take().map(|_| [Effect::EndStream, Effect::Stop(Timer::Stream)]);
        ended.into_iter().flatten().collect()
    }

    /// Asks over HTTP because no stream comes through, or not any more.
    pub(super) fn miss_stream(&mut self, now_ms: i64) -> Vec<Effect> {
        if !self.streamed {
            self.patience.missed(now_ms);
        }
        let mut effects = self.end_stream();
        if self.poll.is_none() {
            effects.extend(self.ask());
        }
        effects
    }

    pub(super) fn hear_streamed(&mut self, streamed: Streamed, now_ms: i64) -> Vec<Effect> {
        match streamed {
            Streamed::Ended => self.miss_stream(now_ms),
            Streamed::Told(ServerMessage::Reset { .. }) => {
                // Everything comes next.
                self.state.position = None;
                Vec::new()
            }
            Streamed::Told(message) => {
                let (told, effect) = self.learn(message, self.streamed, now_ms);
                let mut effects: Vec<Effect> = effect.into_iter().collect();
                if !told {
                    // It does not follow: everything is asked for.
                    effects.extend(self.miss_stream(now_ms));
                    return effects;
                }
                effects.extend(self.ask_no_more());
                self.streamed = true;
                self.patience.told();
                self.freshness.heard(now_ms);
                effects.push(Effect::Set(Timer::Stream, STREAM_SILENT_MS));
                effects
            }
        }
    }

    /// Asks over HTTP what has changed.
    pub(super) fn ask(&mut self) -> Vec<Effect> {
        self.asked += 1;
        self.poll = Some(self.asked);
        match self.view() {
            Some(view) => vec![
                Effect::Poll { number: self.asked, view, since: self.state.position.clone() },
                Effect::Set(Timer::Poll, ANSWERED_MS),
            ],
            // The list of advertisers says whom to watch.
            None => vec![Effect::Set(Timer::Poll, POLL_MS)],
        }
    }

    pub(super) fn ask_no_more(&mut self) -> Vec<Effect> {
        self.polled = false;
        self.poll.take().map(|_| Effect::Stop(Timer::Poll)).into_iter().collect()
    }

    pub(super) fn hear(&mut self, polled: Polled, now_ms: i64) -> Vec<Effect> {
        let mut effects = vec![Effect::Set(Timer::Poll, POLL_MS)];
        let told = match polled {
            Polled::Told(message) => {
                let (told, more) = self.learn(message, self.polled, now_ms);
                effects.extend(more);
                told
            }
            Polled::Kept(message) => {
                self.recall(message);
                false
            }
            Polled::Refused => return self.refuse(),
            Polled::Failed => false,
        };
        self.polled = told;
        if told {
            self.freshness.heard(now_ms);
        }
        effects
    }

    /// Ends the session because the viewer is not signed in any more.
    fn refuse(&mut self) -> Vec<Effect> {
        self.phase = Phase::Refused(close::UNAUTHORIZED);
        let stop = [Effect::Close, Effect::Stop(Timer::Handshake), Effect::Stop(Timer::Retry)];
        stop.into_iter().chain(self.ask_no_more()).chain(self.end_stream()).collect()
    }

    /// Shows what the browser has kept as long as nothing else is known: the state of another day, without a position.
    fn recall(&mut self, message: ServerMessage) {
        let ServerMessage::Snapshot { cells, progress: Some(progress), .. } = message else { return };
        if !self.settled {
            self.freshness.recall(progress);
            self.board.replace(self.first_minute(progress.at_ms.0), cells);
            self.rates_from = None;
            self.settled = true;
        }
    }

    /// The state as a snapshot that can be kept, if it was ever the server's.
    pub fn to_keep(&self) -> Option<(View, ServerMessage)> {
        let progress = self.freshness.progress().filter(|progress| progress.counted_until_ms.is_some())?;
        // What was recalled, or is about another window than is asked for, is not all of the view.
        self.state.position.as_ref()?;
        let snapshot = ServerMessage::Snapshot {
            id: 0,
            epoch: String::new(),
            seq: 0,
            cells: self.board.cells(),
            rates: Vec::new(),
            progress: Some(progress),
        };
        Some((self.view().filter(|_| self.settled)?, snapshot))
    }

    /// Takes a message that came over HTTP; `goes_on` if the last one came the same way. Returns whether the state is
    /// the server's now.
    fn learn(&mut self, message: ServerMessage, goes_on: bool, now_ms: i64) -> (bool, Option<Effect>) {
        match message {
            ServerMessage::Snapshot { epoch, seq, cells, rates, progress, .. } => {
                self.freshness.told(progress, now_ms);
                (true, self.replace(epoch, seq, cells, &rates, now_ms))
            }
            ServerMessage::Delta { epoch, from, seq, cells, rates, progress, .. } => {
                let follows = self.follow((&epoch, from, seq), cells, &rates, progress, now_ms);
                let effect = if follows && !goes_on { self.go_on(&rates, now_ms) } else { None };
                (follows, effect)
            }
            _ => (false, None),
        }
    }
}
