//! The judging of clicks by themselves, whose instructions `cargo xtask bench instructions` counts.

use std::hint::black_box;

use super::*;
use crate::{fixture::click, rules::tests::defaults};

/// The clicks of a count; `xtask` divides by it.
const CLICKS: usize = 100;

/// Of ten clicks, one is a robot's, one comes from a data centre, one is a test, one is late, one a prefetch.
fn clicks() -> Vec<Click> {
    let click = |number: usize| {
        let mut click = click(number as u128 + 1, 1_800_000_000_000, 1_800_000_000_000 + number as i64);
        match number % 10 {
            0 => {
                click.user_agent =
                    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)".into();
            }
            1 => click.data_center = true,
            2 => click.test = true,
            3 => click.clicked_at_ms = UnixMs(0),
            4 => click.prefetch = true,
            _ => {
                click.user_agent = format!(
                    "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
                    100 + number % 7
                );
            }
        }
        click
    };
    (0..CLICKS).map(click).collect()
}

#[inline(never)]
fn counted_judge(judge: &mut Judge, clicks: &[Click], rules: &Rules) -> usize {
    let mut is_valid = |click: &Click| {
        let examined = black_box(judge.examine(click, rules));
        Verdict::alone(&examined, click.received_at_ms, rules).disposition == Disposition::Valid
    };
    clicks.iter().filter(|click| is_valid(click)).count()
}

#[test]
fn clicks_are_judged() {
    let mut judge = Judge::new(Duration::from_secs(86_400));
    // User agents repeat: what the list says of them is remembered before the count.
    for click in clicks() {
        judge.examine(&click, &defaults());
    }
    assert_eq!(counted_judge(&mut judge, &clicks(), &defaults()), CLICKS / 2);
}
