//! Time zones that the browser knows, and times as they are written in one.

use std::{cell::RefCell, collections::HashMap};

use js_sys::{Array, Date, Function, Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use yew::AttrValue;

use crate::{preferences, query::LocalTime};

/// The offset from UTC changes at whole quarters of an hour.
const QUARTER_MS: i64 = 900_000;

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone {
    /// IANA name.
    pub name: AttrValue,
    ahead: fn(&str, i64) -> i64,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Zone {
    /// UTC, which needs no browser.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), ahead: |_, _| 0 }
    }

    /// Tokyo, nine hours ahead all year.
    #[cfg(test)]
    pub(crate) fn tokyo() -> Self {
        Self { name: "Asia/Tokyo".into(), ahead: |_, _| 540 }
    }

    /// A zone that the browser knows, or the one that was chosen in this browser, or the browser's own.
    pub fn named(name: Option<&str>) -> Self {
        let kept = preferences::zone();
        let name = chosen(name, kept.as_deref(), |name| formatter(name).is_some());
        Self { name: name.map_or_else(own, str::to_owned).into(), ahead }
    }

    /// Minutes ahead of UTC at a time.
    pub fn ahead_minutes(&self, at_ms: i64) -> i64 {
        (self.ahead)(&self.name, at_ms)
    }

    /// A time of the API as people read it here: `2026-11-28 19:30:05`; what can't be read stays as it is.
    pub fn stamp(&self, rfc3339: &str) -> String {
        at_ms(rfc3339).map_or_else(|| rfc3339.to_owned(), |at_ms| self.stamp_ms(at_ms))
    }

    /// Writes a Unix time in milliseconds as [`Self::stamp`] does.
    pub fn stamp_ms(&self, at_ms: i64) -> String {
        let local = LocalTime(at_ms.div_euclid(60_000) + self.ahead_minutes(at_ms));
        format!("{}:{:02}", local.to_field().replace('T', " "), at_ms.rem_euclid(60_000) / 1_000)
    }

    /// The time of day at a Unix time in milliseconds: `19:30:05`.
    pub fn precise_time_of_day(&self, at_ms: i64) -> String {
        self.stamp_ms(at_ms).split_off(11)
    }

    /// The time of day to the minute: `19:30`.
    pub fn time_of_day(&self, at_ms: i64) -> String {
        let mut time = self.precise_time_of_day(at_ms);
        time.truncate(5);
        time
    }
}

/// Returns the zone that an address names, or else the one that is kept; `None`: neither is known.
fn chosen<'a>(
    named: Option<&'a str>,
    kept: Option<&'a str>,
    is_known: impl Fn(&str) -> bool,
) -> Option<&'a str> {
    [named, kept].into_iter().flatten().find(|name| is_known(name))
}

/// Reads an RFC 3339 time: milliseconds since the Unix epoch.
pub fn at_ms(text: &str) -> Option<i64> {
    let (local, rest) = (text.get(..16)?, text.get(16..)?);
    let minutes = LocalTime::read(local)?.0;
    let seconds = rest.strip_prefix(':')?;
    let zone = seconds.find(['Z', 'z', '+', '-'])?;
    let (seconds, zone) = seconds.split_at(zone);
    let seconds: f64 = seconds.parse().ok()?;
    let ahead = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let offset = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "-" { -offset } else { offset }
        }
    };
    Some((minutes - ahead) * 60_000 + (seconds * 1_000.0) as i64)
}

/// A time in UTC as the API takes it.
pub fn rfc3339(at_ms: i64) -> String {
    format!("{}:00Z", LocalTime(at_ms.div_euclid(60_000)).to_field())
}

/// Offsets that are kept, at most: those of some days. A page that is open for weeks asks for ever new ones.
const MAX_OFFSETS: usize = 1_000;

thread_local! {
    static OWN: String = ask_own();
    static FORMATTERS: RefCell<HashMap<String, Option<Function>>> = RefCell::default();
    static OFFSETS: RefCell<HashMap<(String, i64), i64>> = RefCell::default();
}

/// Returns the function that writes a date with its offset in a zone; `None`: the browser does not know the zone.
fn formatter(zone: &str) -> Option<Function> {
    if let Some(known) = FORMATTERS.with_borrow(|known| known.get(zone).cloned()) {
        return known;
    }
    let made = || {
        let intl = Reflect::get(&js_sys::global(), &"Intl".into()).ok()?;
        let class: Function = Reflect::get(&intl, &"DateTimeFormat".into()).ok()?.dyn_into().ok()?;
        let options = Object::new();
        Reflect::set(&options, &"timeZone".into(), &zone.into()).ok()?;
        Reflect::set(&options, &"timeZoneName".into(), &"longOffset".into()).ok()?;
        let arguments = Array::of2(&"en-US".into(), &options);
        let formatter = Reflect::construct(&class, &arguments).ok()?;
        Reflect::get(&formatter, &"format".into()).ok()?.dyn_into::<Function>().ok()
    };
    let made = made();
    FORMATTERS.with_borrow_mut(|known| known.insert(zone.to_owned(), made.clone()));
    made
}

fn ahead(zone: &str, at_ms: i64) -> i64 {
    let quarter = (zone.to_owned(), at_ms.div_euclid(QUARTER_MS));
    if let Some(known) = OFFSETS.with_borrow(|known| known.get(&quarter).copied()) {
        return known;
    }
    let date = Date::new(&JsValue::from_f64(at_ms as f64));
    let text = formatter(zone).and_then(|format| format.call1(&JsValue::NULL, &date).ok()?.as_string());
    let minutes = text.and_then(|text| offset(&text)).unwrap_or_default();
    OFFSETS.with_borrow_mut(|known| {
        if known.len() >= MAX_OFFSETS {
            known.clear();
        }
        known.insert(quarter, minutes);
    });
    minutes
}

/// The offset at the end of `11/28/2026, GMT+05:30`, in minutes.
fn offset(text: &str) -> Option<i64> {
    let (_, offset) = text.rsplit_once("GMT")?;
    if offset.is_empty() {
        return Some(0);
    }
    // Some browsers write a real minus.
    let is_behind = offset.starts_with(['-', '−']);
    let (hours, minutes) = offset.trim_start_matches(['+', '-', '−']).split_once(':')?;
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.get(..2)?.parse::<i64>().ok()?;
    Some(if is_behind { -minutes } else { minutes })
}

/// The browser's own zone.
fn own() -> String {
    OWN.with(Clone::clone)
}

fn ask_own() -> String {
    let options = js_sys::Intl::DateTimeFormat::new(&Array::new(), &Object::new()).resolved_options();
    let name = Reflect::get(&options, &"timeZone".into()).ok().and_then(|name| name.as_string());
    name.unwrap_or_else(|| "UTC".to_owned())
}

/// All zones that the browser knows, with UTC.
pub fn all() -> Vec<String> {
    let known = || {
        let intl = Reflect::get(&js_sys::global(), &"Intl".into()).ok()?;
        let list: Function = Reflect::get(&intl, &"supportedValuesOf".into()).ok()?.dyn_into().ok()?;
        list.call1(&intl, &"timeZone".into()).ok()?.dyn_into::<Array>().ok()
    };
    let known = known().map(|known| known.iter().filter_map(|name| name.as_string()).collect::<Vec<_>>());
    let mut all = known.unwrap_or_default();
    all.extend(["UTC".to_owned(), own()]);
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_api_are_read_with_their_offsets() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-28T19:30:05.250Z", Some(1_795_894_205_250)),
            ("2026-11-28T20:30:05+01:00", Some(1_795_894_205_000)),
            ("2026-11-28T13:30:00-06:00", Some(1_795_894_200_000)),
            ("2026-11-28", None),
            ("2026-11-28T19:30", None),
            ("yesterday at noon, about", None),
        ] {
            assert_eq!(at_ms(text), expected, "{text}");
        }
        assert_eq!(rfc3339(1_795_894_205_250), "2026-11-28T19:30:00Z", "whole minutes");
        assert_eq!(Zone::utc().stamp("2026-11-28T20:30:05+01:00"), "2026-11-28 19:30:05");
        assert_eq!(Zone::utc().stamp("soon"), "soon");
        let at_ms = 1_795_894_205_250;
        let of = |zone: Zone| (zone.time_of_day(at_ms), zone.precise_time_of_day(at_ms));
        assert_eq!(of(Zone::utc()), ("19:30".to_owned(), "19:30:05".to_owned()));
        assert_eq!(of(Zone::tokyo()), ("04:30".to_owned(), "04:30:05".to_owned()));
    }

    #[test]
    fn an_address_names_the_zone_before_the_choice_that_is_kept() {
        let known = |name: &str| name != "Mars/Base";
        let berlin = Some("Europe/Berlin");
        assert_eq!(chosen(Some("UTC"), berlin, known), Some("UTC"));
        assert_eq!(chosen(None, berlin, known), berlin);
        assert_eq!(chosen(Some("Mars/Base"), berlin, known), berlin);
        assert_eq!([chosen(None, None, known), chosen(None, Some("Mars/Base"), known)], [None, None]);
    }

    #[test]
    fn offsets_are_read_as_browsers_write_them() {
        for (text, minutes) in [
            ("11/28/2026, GMT", Some(0)),
            ("11/28/2026, GMT+01:00", Some(60)),
            ("11/28/2026, GMT−05:30", Some(-330)),
            ("11/28/2026, GMT-05:00", Some(-300)),
            ("11/28/2026", None),
        ] {
            assert_eq!(offset(text), minutes, "{text}");
        }
    }
}
