//! The chart of a report. Everything in it has a place in percent, so that it follows the width of the page
//! without being drawn anew; the pointer, arrow keys and a drag over it read and choose parts of it.

use std::{fmt::Write as _, ops::Range as Span, rc::Rc};

use web_sys::Element;
use yew::prelude::*;

use super::{
    annotations::{Happened, mark_at, page_to},
    series::{Chart as Drawn, Line},
};
use crate::{
    format,
    query::{Range, Shape},
    scale::count_ticks,
    words,
};

/// The width of a bucket in the drawing's own units; its height is 100.
pub(super) const WIDTH: f64 = 10.0;

/// Properties of the chart.
#[derive(Clone, PartialEq, Properties)]
pub(in crate::pages) struct Props {
    /// The data: buckets and lines.
    pub(in crate::pages) chart: Rc<Drawn>,
    /// The shape of the drawing.
    pub(in crate::pages) shape: Shape,
    /// The events of the range.
    #[prop_or_default]
    pub(in crate::pages) happened: Rc<Happened>,
    /// Hears the range that a drag has chosen.
    pub(in crate::pages) onzoom: Callback<Range>,
}

/// The chart.
#[component]
pub(in crate::pages) fn Chart(props: &Props) -> Html {
    let (at, anchor) = (use_state_eq(|| None::<usize>), use_state_eq(|| None::<usize>));
    let chart = &props.chart;
    let count = chart.buckets.len();
    let marks = props.happened.marks(&chart.begins());
    let is_stacked = props.shape != Shape::Lines;
    let (ticks, top) = ticks(chart, is_stacked);
    let area = use_node_ref();
    let index = {
        let area = area.clone();
        move |event: &PointerEvent| bucket_at(&area, event, count)
    };
    let onpointermove = {
        let (at, index) = (at.clone(), index.clone());
        Callback::from(move |event: PointerEvent| at.set(index(&event)))
    };
    let onpointerdown = {
        let (at, anchor, index) = (at.clone(), anchor.clone(), index.clone());
        Callback::from(move |event: PointerEvent| {
            let pointed = index(&event);
            at.set(pointed);
            // A finger scrolls the page; only a mouse draws over the chart.
            anchor.set(pointed.filter(|_| event.pointer_type() == "mouse" && event.button() == 0));
        })
    };
    let onpointerup = {
        let (anchor, chart, onzoom) = (anchor.clone(), chart.clone(), props.onzoom.clone());
        Callback::from(move |event: PointerEvent| {
            let (from, to) = (*anchor, index(&event));
            anchor.set(None);
            if let (Some(from), Some(to)) = (from, to)
                && from != to
                && let Some(range) = chart.range(from, to)
            {
                onzoom.emit(range);
            }
        })
    };
    let onpointerleave = {
        let (at, anchor) = (at.clone(), anchor.clone());
        Callback::from(move |event: PointerEvent| {
            anchor.set(None);
            if event.pointer_type() == "mouse" {
                at.set(None);
            }
        })
    };
    let onkeydown = {
        let (at, marks) = (at.clone(), marks.clone());
        Callback::from(move |event: KeyboardEvent| {
            let last = count.saturating_sub(1);
            let next = match (event.key().as_str(), *at) {
                ("ArrowLeft", at) => Some(at.map_or(last, |at| at.saturating_sub(1))),
                ("ArrowRight", at) => Some(at.map_or(0, |at| (at + 1).min(last))),
                ("Home", _) => Some(0),
                ("End", _) => Some(last),
                (key @ ("PageUp" | "PageDown"), at) if !marks.is_empty() => {
                    page_to(&marks, at, key == "PageDown")
                }
                ("Escape", _) => None,
                _ => return,
            };
            event.prevent_default();
            at.set(next);
        })
    };
    let shown = (*at).filter(|at| *at < count);
    let chosen = (*anchor).zip(shown).map(|(a, b)| a.min(b)..a.max(b) + 1);
    html! {
        <>
            <ul class="legend">
                { for chart.lines.iter().rev().filter(|_| chart.lines.len() > 1).map(|line| html! {
                    <li key={line.name.clone()}><span class={classes!("swatch", colour(line))} aria-hidden="true" /><bdi>{ &line.name }</bdi></li>
                }) }
                if chart.drawn_before(is_stacked).is_some() {
                    <li><span class="swatch before-swatch" aria-hidden="true" />{ words::BEFORE_TOTAL }</li>
                }
                if chart.buckets.iter().any(|bucket| bucket.is_provisional) {
                    <li><span class="swatch provisional-swatch" aria-hidden="true" />{ words::STILL_CHANGES }</li>
                }
            </ul>
            <div ref={area} class="plot-area" data-testid="explore-chart" data-buckets={count.to_string()} tabindex="0" role="group" aria-label={words::chart_label(count, &chart.lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>()) + &words::marks_label(marks.len())}
                {onpointermove} {onpointerdown} {onpointerup} {onpointerleave} {onkeydown}>
                { for ticks.iter().map(|tick| html! {
                    <div class="gridline" style={format!("bottom:{:.2}%", tick / top * 100.0)}><span>{ format::axis(*tick) }</span></div>
                }) }
                <svg viewBox={format!("0 0 {} 100", (count.max(1) as f64) * WIDTH)} preserveAspectRatio="none" aria-hidden="true">
                    { for paths(chart, props.shape, top).into_iter().map(|Path { kind, slot, is_open, d }| html! {
                        <path class={classes!(kind, slot.map(|slot| format!("s{slot}")), is_open.then_some("open"))} {d} />
                    }) }
                </svg>
                { for marks.iter().map(|mark| html! {
                    <span class="mark" key={mark.bucket} aria-hidden="true" style={format!("left:{:.3}%", centre(mark.bucket, count))}>{ props.happened.drawn(mark) }</span>
                }) }
                if let Some(chosen) = chosen {
                    <div class="chosen-span" style={place(&chosen, count)} />
                }
                if let Some(at) = shown {
                    <div class="cursor-line" style={format!("left:{:.3}%", centre(at, count))} />
                }
                <div role="status">
                    if let Some(at) = shown {
                        { readout(chart, at, count, is_stacked, mark_at(&marks, at, count).map(|mark| props.happened.read(mark))) }
                    }
                </div>
            </div>
            <div class="time-axis" aria-hidden="true">
                { for chart.labels().into_iter().map(|(at, label)| html! { <span key={at} style={format!("left:{:.3}%", centre(at, count))}>{ label }</span> }) }
            </div>
        </>
    }
}

fn colour(line: &Line) -> String {
    format!("s{}", line.slot)
}

/// The bucket below a pointer.
fn bucket_at(area: &NodeRef, event: &PointerEvent, count: usize) -> Option<usize> {
    // Events are heard at the page's root: their current target is not the chart.
    let bounds = area.cast::<Element>()?.get_bounding_client_rect();
    let share = (f64::from(event.client_x()) - bounds.left()) / bounds.width();
    (count > 0 && share.is_finite()).then(|| ((share.clamp(0.0, 1.0) * count as f64) as usize).min(count - 1))
}

/// Returns the numbers that have a line across the chart, and the topmost one.
pub(super) fn ticks(chart: &Drawn, is_stacked: bool) -> (Vec<f64>, f64) {
    let ticks = count_ticks(chart.max(is_stacked) as f64, 5);
    let top = ticks.last().copied().unwrap_or(1.0);
    (ticks, top)
}

/// The middle of a bucket, in percent.
pub(super) fn centre(bucket: usize, count: usize) -> f64 {
    (bucket as f64 + 0.5) / count.max(1) as f64 * 100.0
}

fn place(buckets: &Span<usize>, count: usize) -> String {
    let part = 100.0 / count.max(1) as f64;
    format!("left:{:.3}%;width:{:.3}%", buckets.start as f64 * part, buckets.len() as f64 * part)
}

/// A part of the drawing, in its own units.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    /// The kind: `line`, `bars`, `area`, `edge` or `before-line`.
    pub(super) kind: &'static str,
    /// Its colour; `None`: that of the period before.
    pub(super) slot: Option<usize>,
    /// The values may still change.
    pub(super) is_open: bool,
    /// The path as SVG writes it.
    pub(super) d: String,
}

/// The drawing, from the back to the front.
pub(super) fn paths(chart: &Drawn, shape: Shape, top: f64) -> Vec<Path> {
    let height = |value: f64| 100.0 - value / top * 100.0;
    // From here on values may still change: drawn in dashes.
    let open = chart.buckets.iter().position(|bucket| bucket.is_provisional).unwrap_or(chart.buckets.len());
    let mut below = vec![0.0; chart.buckets.len()];
    let mut paths = Vec::new();
    for drawn in &chart.lines {
        let mut add = |kind, is_open, d| paths.push(Path { kind, slot: Some(drawn.slot), is_open, d });
        if shape == Shape::Lines {
            let points = || drawn.values.iter().map(|value| value.map(|value| height(value as f64)));
            add("line", false, line(points(), 0..open));
            add("line", true, line(points(), open.saturating_sub(1)..usize::MAX));
            continue;
        }
        let values: Vec<f64> = drawn.values.iter().map(|value| value.unwrap_or_default() as f64).collect();
        let bottom: Vec<f64> = below.iter().map(|&sum| height(sum)).collect();
        below.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value);
        let upper: Vec<f64> = below.iter().map(|&sum| height(sum)).collect();
        if shape == Shape::Bars {
            add("bars", false, bars(&upper, &bottom, 0..open));
            add("bars", true, bars(&upper, &bottom, open..upper.len()));
        } else {
            let edge = || upper.iter().copied().map(Some);
            add("area", false, area(&upper, &bottom));
            add("edge", false, line(edge(), 0..open));
            add("edge", true, line(edge(), open.saturating_sub(1)..usize::MAX));
        }
    }
    if let Some(before) = chart.drawn_before(shape != Shape::Lines) {
        let points = before.iter().take(chart.buckets.len()).map(|value| Some(height(*value as f64)));
        let d = line(points, 0..usize::MAX);
        paths.push(Path { kind: "before-line", slot: None, is_open: false, d });
    }
    paths
}

/// A line through the known points, within a range of buckets.
fn line(points: impl Iterator<Item = Option<f64>>, within: Span<usize>) -> String {
    let mut path = String::new();
    let mut draws = false;
    for (bucket, point) in points.enumerate().filter(|(bucket, _)| within.contains(bucket)) {
        let Some(y) = point else {
            draws = false;
            continue;
        };
        let x = (bucket as f64 + 0.5) * WIDTH;
        // A point alone is a dot: a line to itself with round ends. Writing to a string does not fail.
        let step = if draws { format!("L{x:.1} {y:.2}") } else { format!("M{x:.1} {y:.2}h0") };
        path.push_str(&step);
        draws = true;
    }
    path
}

fn area(upper: &[f64], lower: &[f64]) -> String {
    let mut path = String::new();
    let there = upper.iter().enumerate();
    let back = lower.iter().enumerate().rev();
    for (step, (bucket, y)) in there.chain(back).enumerate() {
        let x = (bucket as f64 + 0.5) * WIDTH;
        write!(path, "{}{x:.1} {y:.2}", if step == 0 { 'M' } else { 'L' }).ok();
    }
    path
}

fn bars(upper: &[f64], lower: &[f64], within: Span<usize>) -> String {
    let mut path = String::new();
    for bucket in within {
        let (top, bottom) = (upper[bucket], lower[bucket]);
        if bottom > top {
            let (left, right) = (bucket as f64 * WIDTH + 1.0, (bucket as f64 + 1.0) * WIDTH - 1.0);
            write!(path, "M{left:.1} {bottom:.2}V{top:.2}H{right:.1}V{bottom:.2}z").ok();
        }
    }
    path
}

/// The numbers of the bucket at the cursor.
fn readout(chart: &Drawn, at: usize, count: usize, is_stacked: bool, happened: Option<Html>) -> Html {
    let bucket = &chart.buckets[at];
    let side = if at * 2 < count { "right" } else { "left" };
    let when = bucket.at.get(..16).unwrap_or_default().replace('T', " ");
    let state = match (bucket.is_partial, bucket.is_provisional) {
        (_, true) => words::STILL_CHANGES.get(),
        (true, false) => words::PARTIAL.get(),
        (false, false) => "",
    };
    let number = |value: Option<i64>| value.map_or_else(|| "–".to_owned(), format::count);
    html! {
        <div class={classes!("read", side)}>
            <p class="when"><strong>{ when }</strong><span class="soft">{ state }</span></p>
            <table>
                <tbody>
                    { for chart.lines.iter().rev().map(|line| html! {
                        <tr key={line.name.clone()}>
                            <td><span class={classes!("swatch", colour(line))} aria-hidden="true" /><bdi class="named">{ &line.name }</bdi></td>
                            <td class="n">{ number(line.values.get(at).copied().flatten()) }</td>
                        </tr>
                    }) }
                    if chart.lines.len() > 1 && is_stacked {
                        <tr class="total"><td>{ words::TOTAL }</td><td class="n">{ number(chart.total(at)) }</td></tr>
                    }
                    if let Some(before) = &chart.before {
                        <tr><td class="soft">{ words::BEFORE_TOTAL }</td><td class="n soft">{ number(before.get(at).copied()) }</td></tr>
                    }
                </tbody>
            </table>
            { happened.unwrap_or_default() }
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{annotations::tests::happened, series::tests::chart},
        *,
    };
    use crate::{api::Role, kit::render};

    #[test]
    fn a_line_has_gaps_where_nothing_is_known() {
        let points = [Some(0.0), None, Some(50.0), Some(100.0)];
        assert_eq!(line(points.into_iter(), 0..4), "M5.0 0.00h0M25.0 50.00h0L35.0 100.00");
        assert_eq!(line(points.into_iter(), 3..4), "M35.0 100.00h0");
    }

    #[test]
    fn bars_stand_on_each_other_and_areas_close() {
        assert_eq!(bars(&[50.0, 100.0], &[100.0, 100.0], 0..2), "M1.0 100.00V50.00H9.0V100.00z");
        assert_eq!(area(&[50.0, 40.0], &[100.0, 100.0]), "M5.0 50.00L15.0 40.00L15.0 100.00L5.0 100.00");
    }

    #[tokio::test]
    async fn what_may_still_change_is_drawn_and_said() {
        for shape in Shape::ALL {
            let happened = Rc::new(happened(Role::Admin, ""));
            let props = Props { chart: Rc::new(chart()), shape, happened, onzoom: Callback::noop() };
            let drawn = render::<Chart>(props).await;
            assert!(drawn.contains(r#"class="mark""#) && drawn.contains(">2</span>"), "{drawn}");
            assert!(
                drawn.contains(words::STILL_CHANGES.get()) && drawn.contains("open"),
                "{shape:?}: {drawn}"
            );
            assert!(drawn.contains(r#"data-buckets="3""#), "{drawn}");
            // Lines of parts stand beside no line of the whole.
            assert_eq!(drawn.contains("before-line"), shape != Shape::Lines, "{drawn}");
            assert!(drawn.contains("FR") && drawn.contains("10:00"), "{drawn}");
        }
    }
}
