//! Crashes on demand: a test names a point between fetch and acknowledgement, and the process dies
//! there as by SIGKILL.
//!
//! `FAILPOINTS="point=3*off->return"` lets the point pass three times and dies at the fourth;
//! `unheard=5%return` publishes some messages to nobody, as a busy Redis loses them. Points
//! exist in debug builds with the feature `failpoints` only, which whole-system tests turn on; any
//! other build has none, and refuses to start when `FAILPOINTS` is set ([`arm`]), so that no test takes a
//! program without points for one that survived them. Points of a program that does not call [`arm`] do
//! nothing.

/// The points of `FAILPOINTS`, armed as long as this value lives.
#[must_use]
pub struct Armed {
    #[cfg(all(feature = "failpoints", debug_assertions))]
    _scenario: fail::FailScenario<'static>,
}

/// `FAILPOINTS` is set for a program that has no points.
#[derive(Debug, thiserror::Error)]
#[error("FAILPOINTS is set, but this program was built without the feature `failpoints`")]
pub struct NoPoints;

/// Reads `FAILPOINTS`.
#[cfg(all(feature = "failpoints", debug_assertions))]
pub fn arm() -> Result<Armed, NoPoints> {
    Ok(Armed { _scenario: fail::FailScenario::setup() })
}

/// Refuses `FAILPOINTS`: there are none.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
pub fn arm() -> Result<Armed, NoPoints> {
    if std::env::var_os("FAILPOINTS").is_some() { Err(NoPoints) } else { Ok(Armed {}) }
}

/// Dies here, if a test wants that.
#[cfg(all(feature = "failpoints", debug_assertions))]
pub fn reached(point: &str) {
    fail::fail_point!(point, |_| std::process::abort());
}

/// Dies here after doing `half` of what comes next, if a test wants that.
#[cfg(all(feature = "failpoints", debug_assertions))]
pub async fn reached_after(point: &str, half: impl AsyncFnOnce()) {
    if is_hit(point) {
        half().await;
        std::process::abort();
    }
}

/// Returns whether a test wants something else to happen here.
#[cfg(all(feature = "failpoints", debug_assertions))]
pub fn is_hit(point: &str) -> bool {
    fail::fail_point!(point, |_| true);
    false
}

/// Does nothing: there are no points.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
pub fn reached(_point: &str) {}

/// Returns `false`: there are no points.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
pub fn is_hit(_point: &str) -> bool {
    false
}

/// Does nothing: there are no points.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
pub async fn reached_after(_point: &str, _half: impl AsyncFnOnce()) {}
