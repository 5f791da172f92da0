//! The trend of a number in the last hour: a line that has gaps where the number is not known.

use std::fmt::Write as _;

use yew::prelude::*;

use crate::words;

/// The hour that is drawn, in milliseconds.
const SPAN_MS: i64 = 3_600_000;

/// The size of the drawing, in its own units.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 36.0;

/// Properties of the trend.
#[derive(Clone, PartialEq, Properties)]
pub(in crate::pages) struct Props {
    /// Times in milliseconds since the Unix epoch, with their values as far as known; the oldest first.
    pub(in crate::pages) points: Vec<(i64, Option<f64>)>,
    /// The name of the number.
    pub(in crate::pages) label: AttrValue,
    /// Writes a value.
    pub(in crate::pages) text: Callback<f64, String>,
}

/// The trend, and in words its highest value.
#[component]
pub(in crate::pages) fn Trend(props: &Props) -> Html {
    let highest = props
        .points
        .iter()
        .filter_map(|(_, value)| *value)
        .fold(None, |most: Option<f64>, value| Some(most.map_or(value, |most| most.max(value))));
    let Some(highest) = highest else { return html! { <p class="trend-none" /> } };
    let said = words::at_most(&props.text.emit(highest));
    let line = path(&props.points, highest);
    html! {
        <>
            <svg class="trend" viewBox={format!("0 0 {WIDTH} {HEIGHT}")} preserveAspectRatio="none" role="img" aria-label={format!("{}: {said}", props.label)} focusable="false">
                <path class="trend-line" d={line} />
            </svg>
            <p class="soft trend-said">{ said }</p>
        </>
    }
}

/// A line for each stretch of known values.
fn path(points: &[(i64, Option<f64>)], highest: f64) -> String {
    let Some(&(end_ms, _)) = points.last() else { return String::new() };
    let (mut path, mut is_down) = (String::new(), false);
    for &(at_ms, value) in points {
        let Some(value) = value else {
            is_down = false;
            continue;
        };
        let x = WIDTH * (1.0 - (end_ms - at_ms) as f64 / SPAN_MS as f64);
        let share = if highest > 0.0 { value / highest } else { 0.0 };
        // Half a line's width stays inside, at the top and at the bottom.
        let y = 1.0 + (HEIGHT - 2.0) * (1.0 - share);
        // Writing to a text can't fail.
        let _ = write!(path, "{}{x:.1} {y:.1}", if is_down { 'L' } else { 'M' });
        if !is_down {
            // One point by itself is seen, too.
            let _ = write!(path, "h0.1");
        }
        is_down = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::render;

    #[test]
    fn what_is_not_known_is_a_gap() {
        let points =
            [(3_600_000, Some(0.0)), (3_610_000, Some(10.0)), (3_620_000, None), (7_200_000, Some(5.0))];
        assert_eq!(path(&points, 10.0), "M0.0 35.0h0.1L1.0 1.0M360.0 18.0h0.1");
        assert_eq!(path(&[(0, Some(0.0))], 0.0), "M360.0 35.0h0.1", "nothing at all is at the bottom");
        assert_eq!(path(&[], 1.0), "");
    }

    #[tokio::test]
    async fn a_trend_says_in_words_how_high_it_was() {
        let props = |points| Props {
            points,
            label: "Stored".into(),
            text: Callback::from(|value: f64| format!("{value} a second")),
        };
        let trend = render::<Trend>(props(vec![(0, Some(1.0)), (1, Some(7.0)), (2, None)])).await;
        assert!(trend.contains(r#"aria-label="Stored: at most 7 a second in the last hour""#), "{trend}");
        assert!(!render::<Trend>(props(vec![(0, None)])).await.contains("svg"), "nothing is known");
    }
}
