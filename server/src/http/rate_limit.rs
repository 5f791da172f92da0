//! Limits of what a sender may send: one allowance for each key, one for each client address, one for each caller who
//! makes test clicks; and limits of attempts at a password.
//!
//! An allowance is a rate and a burst, kept by the generic cell rate algorithm (GCRA, ITU-T I.371) of
//! `governor`. Who asks too much is answered 429 with `Retry-After`; every answer says what is left, in
//! the headers of draft-ietf-httpapi-ratelimit-headers-10. Memory is bounded: of the addresses the
//! ones that were seen last are remembered.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use quick_cache::sync::Cache;

use crate::http::{error::Error, quota::Holder};

/// Addresses remembered: some 15 MB.
const ADDRESSES: usize = 100_000;

/// Callers remembered.
const CALLERS: usize = 10_000;

/// Logins remembered: of each 8 bytes, whatever was sent. Some 15 MB.
const LOGINS: usize = 100_000;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Requests in the long run, and at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Time after which one more may be sent.
    every: Duration,
    burst: NonZeroU32,
}

impl Rate {
    /// Rate of a live session's commands.
    pub(crate) const COMMANDS: Self =
        Self::per_second(NonZeroU32::MIN.saturating_add(19), NonZeroU32::MIN.saturating_add(99));

    /// Test clicks that a caller may make, one at a time: for eyes that watch what becomes of it.
    pub(crate) const TEST_CLICKS: Self =
        Self { every: Duration::from_secs(1), burst: NonZeroU32::MIN.saturating_add(19) };

    /// Wrong passwords that may be tried, ten a minute, from one address and for one login.
    const ATTEMPTS: Self = Self { every: Duration::from_secs(6), burst: NonZeroU32::MIN.saturating_add(9) };

    /// Passwords that may be tried for one login, right ones too: to compare one takes a processor's time.
    const SIGN_INS: Self = Self { every: Duration::from_secs(1), burst: NonZeroU32::MIN.saturating_add(59) };

    pub(crate) const fn per_second(requests: NonZeroU32, burst: NonZeroU32) -> Self {
        // A billion a second is beyond what can be measured.
        let every_ns = 1_000_000_000 / requests.get();
        Self { every: Duration::from_nanos(if every_ns == 0 { 1 } else { every_ns as u64 }), burst }
    }

    /// Returns the time until a spent allowance is whole again.
    fn window(self) -> Duration {
        self.every.saturating_mul(self.burst.get())
    }
}

/// The allowance of one sender.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// Name of the kind of sender, as the headers have it.
    name: &'static str,
    rate: Rate,
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
}

/// The rest of an allowance after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    name: &'static str,
    rate: Rate,
    pub(crate) units: u32,
}

impl Allowance {
    pub(crate) fn new(name: &'static str, rate: Rate) -> Self {
        let quota = Quota::with_period(rate.every)
            .unwrap_or_else(|| unreachable!("a rate's period is not zero"))
            .allow_burst(rate.burst);
        Self { name, rate, limiter: RateLimiter::direct(quota).with_middleware() }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Spends units, all or none. Who asks for more than can ever be there at once has to wait for the
    /// whole.
    pub(crate) fn spend(&self, units: NonZeroU32) -> Result<Left, Error> {
        self.spend_up_to(self.rate.burst, units)
    }

    /// Spends the others of a batch of which one has been spent already.
    pub(crate) fn spend_others(&self, others: NonZeroU32) -> Result<(), Error> {
        // With the one it must not be more than can ever be there.
        let Some(most) = NonZeroU32::new(self.rate.burst.get() - 1) else { return Ok(()) };
        self.spend_up_to(most, others).map(drop)
    }

    fn spend_up_to(&self, most: NonZeroU32, units: NonZeroU32) -> Result<Left, Error> {
        let refused = |wait: Duration| {
            metrics::counter!("clickwire_limited_total", "by" => self.name).increment(1);
            Error::TooMany { left: Left::nothing(self.name, self.rate), retry_after: wait }
        };
        match self.limiter.check_n(units.min(most)) {
            Ok(Ok(state)) => {
                Ok(Left { name: self.name, rate: self.rate, units: state.remaining_burst_capacity() })
            }
            Ok(Err(refusal)) => Err(refused(refusal.wait_time_from(DefaultClock::default().now()))),
            // Not reached: no more than the burst is asked for.
            Err(_) => Err(refused(self.rate.window())),
        }
    }
}

impl Left {
    pub(crate) fn nothing(name: &'static str, rate: Rate) -> Self {
        Self { name, rate, units: 0 }
    }

    /// Tells the sender.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let (name, quota, window) = (self.name, self.rate.burst, self.rate.window().as_secs_f64().ceil());
        let spent = f64::from(quota.get().saturating_sub(self.units));
        let reset = (spent * self.rate.every.as_secs_f64()).ceil();
        let lines = [
            (POLICY, format!("\"{name}\";q={quota};w={window}")),
            (LEFT, format!("\"{name}\";r={};t={reset}", self.units)),
        ];
        for (name, line) in lines {
            if let Ok(value) = HeaderValue::try_from(line) {
                headers.append(name, value);
            }
        }
    }
}

/// The allowances of client addresses. An IPv6 customer has a /64 network, so that is what counts.
pub(crate) struct Addresses {
    rate: Rate,
    allowances: Cache<IpAddr, Arc<Allowance>>,
}

impl Addresses {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, allowances: Cache::new(ADDRESSES) }
    }

    /// Spends one request of a client.
    pub(crate) fn spend(&self, client: IpAddr) -> Result<Left, Error> {
        let customer = rate_limit_key(client);
        let new = || Ok::<_, Error>(Arc::new(Allowance::new("address", self.rate)));
        self.allowances.get_or_insert_with(&customer, new)?.spend(NonZeroU32::MIN)
    }
}

/// The allowances of callers who have signed in or show a token.
pub(crate) struct Callers {
    rate: Rate,
    allowances: Cache<Holder, Arc<Allowance>>,
}

impl Callers {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, allowances: Cache::new(CALLERS) }
    }

    /// Spends one request of a caller.
    pub(crate) fn spend(&self, caller: &Holder) -> Result<Left, Error> {
        let new = || Ok::<_, Error>(Arc::new(Allowance::new("account", self.rate)));
        self.allowances.get_or_insert_with(caller, new)?.spend(NonZeroU32::MIN)
    }
}

/// Limits of attempts at passwords. Only wrong ones count: an attempt is spent while it is tried, and given back if it
/// was right.
pub(crate) struct Attempts {
    addresses: Cache<IpAddr, Arc<Tries>>,
    /// Attempts by the login's keyed hash: untrusted text is not kept.
    logins: Cache<u64, Arc<Tries>>,
    hashed: RandomState,
}

/// An attempt that is tried.
pub(crate) struct Attempt([Arc<Tries>; 2]);

/// Attempts of one address, or of one login.
#[derive(Default)]
struct Tries(Mutex<Spent>);

/// The times at which allowances are whole again (the theoretical arrival time of the generic cell rate
/// algorithm): of wrong passwords, and of all.
#[derive(Default)]
struct Spent {
    wrong_until: Option<Instant>,
    all_until: Option<Instant>,
}

impl Tries {
    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spends an attempt; `all` limits those, too, that turn out to be right.
    fn spend(&self, name: &'static str, all: Option<Rate>) -> Result<(), Error> {
        let now = Instant::now();
        let next = |until: Option<Instant>, rate: Rate| {
            let next = until.map_or(now, |until| until.max(now)) + rate.every;
            let retry_after = next.duration_since(now).saturating_sub(rate.window());
            if retry_after.is_zero() {
                return Ok(Some(next));
            }
            metrics::counter!("clickwire_limited_total", "by" => name).increment(1);
            Err(Error::TooMany { left: Left::nothing(name, rate), retry_after })
        };
        let mut spent = self.spent();
        let wrong_until = next(spent.wrong_until, Rate::ATTEMPTS)?;
        let all_until = all.map_or(Ok(None), |rate| next(spent.all_until, rate))?;
        *spent = Spent { wrong_until, all_until };
        Ok(())
    }

    fn give_back(&self) {
        let mut spent = self.spent();
        spent.wrong_until = spent.wrong_until.and_then(|until| until.checked_sub(Rate::ATTEMPTS.every));
    }
}

impl Attempts {
    pub(crate) fn new() -> Self {
        Self { addresses: Cache::new(ADDRESSES), logins: Cache::new(LOGINS), hashed: RandomState::new() }
    }

    /// Spends one attempt of a client, and one at a login.
    pub(crate) fn spend(&self, client: IpAddr, login: &str) -> Result<Attempt, Error> {
        let new = || Ok::<_, Error>(Arc::<Tries>::default());
        let address = self.addresses.get_or_insert_with(&rate_limit_key(client), new)?;
        address.spend("address", None)?;
        let login = self.logins.get_or_insert_with(&self.hashed.hash_one(login), new)?;
        login.spend("login", Some(Rate::SIGN_INS))?;
        Ok(Attempt([address, login]))
    }
}

impl Attempt {
    /// The password was right: it was no attempt to guess it.
    pub(crate) fn succeeded(self) {
        self.0.iter().for_each(|tries| tries.give_back());
    }
}

/// Returns the address that stands for a client: its own, or the network of an IPv6 customer.
pub(crate) fn rate_limit_key(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(network(address)),
    }
}

fn network(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate::per_second(per_second.try_into().unwrap(), burst.try_into().unwrap())
    }

    #[test]
    fn a_batch_larger_than_the_burst_waits_for_the_whole_and_not_for_ever() {
        let rate = |burst| Rate::per_second(NonZeroU32::MIN, NonZeroU32::new(burst).unwrap());
        for burst in [1, 10] {
            let allowance = Allowance::new("key", rate(burst));
            allowance.spend(NonZeroU32::MIN).unwrap();
            allowance.spend_others(149.try_into().unwrap()).unwrap();
            assert!(allowance.spend(NonZeroU32::MIN).is_err());
        }
    }

    #[test]
    fn a_burst_is_let_through_and_what_follows_is_told_when_to_come_again() {
        let allowance = Allowance::new("key", rate(1, 5));
        let left = allowance.spend(4.try_into().unwrap()).unwrap();
        assert_eq!(left.units, 1);
        let mut headers = HeaderMap::new();
        left.write(&mut headers);
        assert_eq!(headers[POLICY], "\"key\";q=5;w=5");
        assert_eq!(headers[LEFT], "\"key\";r=1;t=4");
        let Err(Error::TooMany { left, retry_after }) = allowance.spend(2.try_into().unwrap()) else {
            panic!("more than the burst was let through");
        };
        assert_eq!((left.name, left.units), ("key", 0));
        assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_secs(1), "{retry_after:?}");
        // All or none: the one that is left is still there.
        allowance.spend(NonZeroU32::MIN).unwrap();
    }

    #[test]
    fn addresses_have_allowances_of_their_own_and_a_customers_network_one() {
        let addresses = Addresses::new(rate(1, 1));
        let spend = |address: &str| addresses.spend(address.parse().unwrap()).is_ok();
        assert!(spend("192.0.2.1") && spend("192.0.2.2"));
        assert!(!spend("::ffff:192.0.2.1"));
        assert!(spend("2001:db8::1") && !spend("2001:db8::2") && spend("2001:db8:0:1::1"));
    }

    #[test]
    fn a_caller_uses_up_nobody_elses_allowance() {
        let callers = Callers::new(rate(1, 2));
        let spend = |number| callers.spend(&Holder::Account(uuid::Uuid::from_u128(number))).is_ok();
        assert!(spend(1) && spend(1) && !spend(1));
        assert!(spend(2) && callers.spend(&Holder::Operators).is_ok());
    }

    #[test]
    fn wrong_passwords_can_be_tried_ten_times_from_an_address_and_at_a_login_and_right_ones_as_often_as_one_likes()
     {
        let attempts = Attempts::new();
        let spend = |address: &str, login: &str| attempts.spend(address.parse().unwrap(), login).ok();
        for n in 0..100 {
            spend("192.0.2.1", &format!("colleague-{}", n % 2)).unwrap().succeeded();
        }
        for _ in 0..10 {
            spend("192.0.2.2", "colleague-1").unwrap().succeeded();
        }
        assert!(spend("192.0.2.2", "colleague-1").is_none(), "to compare a password takes time");
        assert!((0..10).all(|n| spend("192.0.2.1", &format!("login-{n}")).is_some()));
        assert!(spend("192.0.2.1", "another").is_none());
        assert!((0..10).all(|n| spend(&format!("192.0.2.{}", n + 10), "anna").is_some()));
        assert!(spend("192.0.2.99", "anna").is_none() && spend("192.0.2.98", "berta").is_some());
        let Err(Error::TooMany { retry_after, .. }) = attempts.spend("192.0.2.1".parse().unwrap(), "anna")
        else {
            panic!("an eleventh was tried");
        };
        assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_secs(6), "{retry_after:?}");
    }

    #[test]
    fn what_a_stranger_calls_itself_is_not_kept() {
        let attempts = Attempts::new();
        let _spent = attempts.spend("192.0.2.1".parse().unwrap(), &"x".repeat(16 * 1024));
        let key: usize = attempts.logins.iter().map(|(key, _)| size_of_val(&key)).sum();
        assert_eq!(key, size_of::<u64>());
    }
}
