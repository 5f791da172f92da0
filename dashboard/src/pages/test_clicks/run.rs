//! One run: a key, batches second by second, the end of the key, and the count of the clicks in the ledger.

use std::{cell::Cell, rc::Rc};

use clickwire_protocol::ledger::FoundClick;
use gloo_timers::future::TimeoutFuture;
use serde::Deserialize;
use serde_json::json;

use super::mix::Mix;
use crate::{
    account::Credential,
    api::{Issued, Page},
    clock,
    http::{self, Failure, Method, Request},
    pages::registered,
    words,
};

/// The pause between two batches, and between two attempts, in milliseconds.
const SECOND_MS: u32 = 1_000;

/// Attempts to send a batch before the run fails; all with the same ids, so that no click is counted twice.
const ATTEMPTS: u32 = 5;

/// Checks, at most, whether all clicks of a run are counted.
const LOOKS: u32 = 20;

/// The rate per second and the burst of a run's key: more than a run sends.
const KEY_RATE: u32 = 1_000;

/// The state of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    Sending,
    Counting,
    Done,
    Stopped,
    Failed(Failure),
}

impl State {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Stopped | Self::Failed(_))
    }

    /// Returns the name for style sheets and tests.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Counting => "counting",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }

    /// Returns the state in words, for people.
    pub(super) fn said(&self) -> words::Text {
        match self {
            Self::Sending => words::SENDING,
            Self::Counting => words::COUNTING,
            Self::Done => words::ALL_SENT,
            Self::Stopped => words::STOPPED,
            Self::Failed(_) => words::RUN_FAILED,
        }
    }
}

/// The progress of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Progress {
    pub(super) state: State,
    /// Clicks that are to be sent.
    pub(super) wanted: u32,
    /// Clicks that were accepted.
    pub(super) accepted: u32,
    /// Clicks that the ledger has; `None`: not asked yet.
    pub(super) counted: Option<usize>,
    /// The user id of all of them, by which they are found.
    pub(super) user_id: String,
}

/// The answer to a batch.
#[derive(Deserialize)]
struct Accepted {
    accepted: u32,
}

/// A run of test clicks.
pub(super) struct Run {
    pub(super) mix: Mix,
    pub(super) clicks: u32,
    pub(super) rate: u32,
    pub(super) credential: Credential,
    /// The run is to end before all clicks are sent.
    pub(super) stop: Rc<Cell<bool>>,
}

impl Run {
    /// Performs the run; `tell` hears its progress.
    pub(super) async fn go(self, tell: impl Fn(Progress)) {
        let user_id = format!("test-{}", clock::now_ms());
        let mut progress =
            Progress { state: State::Sending, wanted: self.clicks, accepted: 0, counted: None, user_id };
        tell(progress.clone());
        let outcome = match self.begin(&progress.user_id).await {
            Err(failure) => State::Failed(failure),
            Ok(issued) => {
                let sent = self.send(&issued.key, &mut progress, &tell).await;
                // Whatever came of it, the key is not needed any more.
                let revoke = registered("keys", &issued.key_id) + "/revoke";
                let revoked =
                    http::answer(Request::bare(Method::Post, &revoke), self.credential.clone()).await;
                match sent.and(revoked.map(drop)) {
                    Err(failure) => State::Failed(failure),
                    Ok(()) if self.stop.get() => State::Stopped,
                    Ok(()) => State::Done,
                }
            }
        };
        // Not over before it tells nothing more.
        progress.state = State::Counting;
        tell(progress.clone());
        if progress.accepted > 0 {
            self.look(&mut progress, &tell).await;
        }
        progress.state = outcome;
        tell(progress);
    }

    /// Makes a key for this run alone.
    async fn begin(&self, name: &str) -> Result<Issued, Failure> {
        let wanted = json!({
            "name": name, "mode": "test", "advertisers": [self.mix.advertiser_id], "speaks_for_users": true,
            "rate_per_second": KEY_RATE, "burst": KEY_RATE,
        });
        let request = Request::with(Method::Post, "/api/v1/admin/keys", &wanted);
        http::read(&http::answer(request, self.credential.clone()).await?)
    }

    async fn send(
        &self,
        key: &str,
        progress: &mut Progress,
        tell: &impl Fn(Progress),
    ) -> Result<(), Failure> {
        let (mut left, mut random) = (self.clicks, js_sys::Math::random);
        while left > 0 && !self.stop.get() {
            let clicks = left.min(self.rate);
            let batch = self.mix.batch(&progress.user_id, clicks, &mut random);
            let request = Request::with(Method::Post, "/api/v1/clicks/batch", &batch);
            let mut attempt = 1;
            let told = loop {
                match http::post_with_key(request.clone(), key).await {
                    // Another server may not know the key yet.
                    Err(failure)
                        if attempt < ATTEMPTS && (failure.is_passing() || failure == Failure::SignedOut) =>
                    {
                        attempt += 1;
                        TimeoutFuture::new(SECOND_MS).await;
                    }
                    told => break told?,
                }
            };
            let Accepted { accepted } = http::read(&told)?;
            progress.accepted += accepted;
            left -= clicks;
            tell(progress.clone());
            if left > 0 {
                TimeoutFuture::new(SECOND_MS).await;
            }
        }
        Ok(())
    }

    /// Looks until the ledger has what was accepted.
    async fn look(&self, progress: &mut Progress, tell: &impl Fn(Progress)) {
        for _ in 0..LOOKS {
            TimeoutFuture::new(SECOND_MS / 2).await;
            // What can't be asked now is asked again.
            if let Ok(counted) = self.counted(&progress.user_id).await {
                progress.counted = Some(counted);
                tell(progress.clone());
                if counted >= progress.accepted as usize {
                    return;
                }
            }
        }
    }

    async fn counted(&self, user_id: &str) -> Result<usize, Failure> {
        let (mut counted, mut after) = (0, None);
        loop {
            let parameters = [
                ("advertiser_id", Some(self.mix.advertiser_id.clone())),
                ("user_id", Some(user_id.to_owned())),
                ("disposition", Some("test".to_owned())),
                ("after", after),
            ];
            let request = Request::get(&http::url("/api/v1/clicks", parameters));
            let page: Page<FoundClick> = http::read(&http::answer(request, self.credential.clone()).await?)?;
            counted += page.data.len();
            after = page.next;
            if after.is_none() {
                return Ok(counted);
            }
        }
    }
}
