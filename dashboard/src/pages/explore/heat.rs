//! The heat map of clicks: days of the week against hours of the day, where rows are grouped by both. The table below
//! it has the same numbers.

use clickwire_protocol::report::{BreakdownRow, Dimension, Metric};
use yew::prelude::*;

use crate::{format, words};

/// The two groups.
pub(super) const GROUP: [Dimension; 2] = [Dimension::Weekday, Dimension::HourOfDay];

const HOURS: usize = 24;

/// Returns whether rows are grouped by both, in either order.
pub(super) fn is_of(group: &[Dimension]) -> bool {
    group.len() == GROUP.len() && GROUP.iter().all(|dimension| group.contains(dimension))
}

/// A metric's values by day, the week beginning on Monday, and hour.
fn cells(rows: &[BreakdownRow], metric: Metric) -> [[i64; HOURS]; 7] {
    let mut cells = [[0; HOURS]; 7];
    for row in rows {
        let place = |number: Option<i32>, from: i32| usize::try_from(number? - from).ok();
        let (day, hour) = (place(row.group.weekday, 1), place(row.group.hour_of_day, 0));
        if let Some(cell) = day.zip(hour).and_then(|(day, hour)| cells.get_mut(day)?.get_mut(hour)) {
            *cell = metric.of(&row.numbers).unwrap_or_default();
        }
    }
    cells
}

/// The map.
pub(super) fn map(rows: &[BreakdownRow], metric: Metric) -> Html {
    let cells = cells(rows, metric);
    let largest = cells.iter().flatten().copied().max().unwrap_or_default().max(1);
    let day = |number: usize| words::weekday(&(number + 1).to_string());
    let cell = |on: usize, hour: usize, value: i64| {
        let share = value as f64 / largest as f64;
        let said = words::in_hour(&day(on), hour, &format::count(value), words::metric(metric));
        html! { <td key={hour} data-value={value.to_string()} title={said} style={format!("--share:{:.0}%", share * 100.0)} /> }
    };
    html! {
        <section class="card heat-card" aria-hidden="true">
            <h2>{ words::by_hour_of_week(metric) }</h2>
            <table class="heat" data-testid="heat">
                <thead><tr><td />{ for (0..HOURS).map(|hour| html! { <th key={hour}>{ format!("{hour:02}") }</th> }) }</tr></thead>
                <tbody>
                    { for cells.iter().enumerate().map(|(on, hours)| html! {
                        <tr key={on}>
                            <th><span class="long">{ day(on) }</span><span class="short">{ day(on).chars().take(2).collect::<String>() }</span></th>
                            { for hours.iter().enumerate().map(|(hour, value)| cell(on, hour, *value)) }
                        </tr>
                    }) }
                </tbody>
            </table>
            <p class="soft heat-scale"><span>{ "0" }</span><span class="heat-ramp" /><span>{ format::count(largest) }</span></p>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::report::{Group, Numbers};

    use super::*;

    fn row(weekday: i32, hour: i32, clicks: i64) -> BreakdownRow {
        BreakdownRow {
            group: Group { weekday: Some(weekday), hour_of_day: Some(hour), ..Group::default() },
            numbers: Numbers { clicks, ..Numbers::default() },
            previous: None,
        }
    }

    #[test]
    fn a_row_has_its_place_in_the_week() {
        let rows = [row(1, 0, 5), row(7, 23, 9), row(8, 0, 99), BreakdownRow::default()];
        let cells = cells(&rows, Metric::Clicks);
        assert_eq!((cells[0][0], cells[6][23]), (5, 9));
        assert_eq!(cells.iter().flatten().sum::<i64>(), 14, "what has no place is nowhere");
    }

    #[test]
    fn it_is_of_both_groups_in_any_order() {
        let [day, hour] = GROUP;
        assert!(is_of(&[day, hour]) && is_of(&[hour, day]));
        assert!(!is_of(&[day]) && !is_of(&[]) && !is_of(&[hour, Dimension::Country]));
    }
}
