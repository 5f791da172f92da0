//! The chart of a report. Everything in it has a place in percent, so that it follows the width of the page
//! without being drawn anew; the pointer and keys read it, select a part to zoom to, and show one line alone.

use std::{fmt::Write as _, ops::Range as Span, rc::Rc};

use web_sys::Element;
use yew::prelude::*;

use super::{
    annotations::{Happened, mark_at},
    as_table::AsTable,
    reading::Reading,
    series::{Bucket, Chart as Drawn, Line},
};
use crate::{
    format,
    query::Shape,
    router::{Router, use_router},
    scale::count_ticks,
    words,
};

/// The width of a bucket in the drawing's own units; its height is 100.
pub(super) const WIDTH: f64 = 10.0;

/// Properties of the chart.
#[derive(Clone, PartialEq, Properties)]
pub(in crate::pages) struct Props {
    /// The data: buckets and all lines.
    pub(in crate::pages) chart: Rc<Drawn>,
    /// The shape of the drawing.
    pub(in crate::pages) shape: Shape,
    /// The events of the range.
    #[prop_or_default]
    pub(in crate::pages) happened: Rc<Happened>,
}

/// The chart. The address says which line is shown alone, and gets the range that is zoomed to.
#[component]
pub(in crate::pages) fn Chart(props: &Props) -> Html {
    let router = use_router();
    // What is read changes with each move: callbacks read it where it is, not as it was when they were made.
    let (reading, update) = (use_mut_ref(Reading::default), use_force_update());
    let chart = &props.chart.only(router.place.query.line.as_deref());
    let count = chart.buckets.len();
    let marks = props.happened.marks(&chart.begins());
    let is_stacked = props.shape != Shape::Lines;
    let (ticks, top) = ticks(chart, is_stacked);
    let area = use_node_ref();
    let index = {
        let area = area.clone();
        move |event: &PointerEvent| bucket_at(&area, event, count)
    };
    let read = {
        let reading = reading.clone();
        move |new: Reading| {
            if reading.replace(new) != new {
                update.force_update();
            }
        }
    };
    let zoom = {
        let (chart, reading, read) = (chart.clone(), reading.clone(), read.clone());
        let router = router.clone();
        // A part of one bucket is a click, or where a selection begins.
        move |then: Reading| {
            let selection = reading.borrow().selection(count).filter(|part| part.start() != part.end());
            let range = selection.and_then(|part| chart.range(*part.start(), *part.end()));
            read(if range.is_some() { Reading::default() } else { then });
            if range.is_some() {
                router.change(|query| query.range = range);
            }
        }
    };
    let onpointermove = {
        let (reading, read, index) = (reading.clone(), read.clone(), index.clone());
        Callback::from(move |event: PointerEvent| {
            let now = *reading.borrow();
            read(Reading { at: index(&event), ..now });
        })
    };
    let onpointerdown = {
        let (read, index) = (read.clone(), index.clone());
        Callback::from(move |event: PointerEvent| {
            let at = index(&event);
            // A finger scrolls the page and reads; it chooses a range in the dialog.
            let draws = event.pointer_type() != "touch" && event.button() == 0;
            read(Reading { at, anchor: at.filter(|_| draws) });
        })
    };
    let onpointerup = {
        let (reading, read, zoom) = (reading.clone(), read.clone(), zoom.clone());
        Callback::from(move |event: PointerEvent| {
            let at = index(&event);
            let anchor = reading.borrow().anchor;
            read(Reading { at, anchor });
            zoom(Reading { at, anchor: None });
        })
    };
    let onpointerleave = {
        let (reading, read) = (reading.clone(), read.clone());
        Callback::from(move |event: PointerEvent| {
            let at = reading.borrow().at.filter(|_| event.pointer_type() != "mouse");
            read(Reading { at, anchor: None });
        })
    };
    let onkeydown = {
        let (reading, marks) = (reading.clone(), marks.clone());
        Callback::from(move |event: KeyboardEvent| {
            if event.alt_key() || event.ctrl_key() || event.meta_key() {
                return;
            }
            let now = *reading.borrow();
            if event.key() == "Enter" && now.anchor.is_some() {
                event.prevent_default();
                zoom(now);
            } else if let Some(next) = now.after(&event.key(), event.shift_key(), count, &marks) {
                event.prevent_default();
                read(next);
            }
        })
    };
    let now = *reading.borrow();
    let shown = now.at.filter(|at| *at < count);
    let chosen = now.selection(count).map(|part| *part.start()..*part.end() + 1);
    let selected = chosen.clone().filter(|part| part.len() > 1);
    let selected = selected.and_then(|part| chart.range(part.start, part.end - 1));
    html! {
        <>
            { legend(&props.chart, chart, is_stacked, &router) }
            <div ref={area} class="plot-area" data-testid="explore-chart" data-buckets={count.to_string()} tabindex="0" role="group" aria-label={words::chart_label(count, &chart.lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>()) + &words::marks_label(marks.len())}
                aria-describedby="chart-keys" {onpointermove} {onpointerdown} {onpointerup} {onpointerleave} {onkeydown}>
                { for ticks.iter().map(|tick| html! {
                    <div class="gridline" style={format!("bottom:{:.2}%", tick / top * 100.0)}><span>{ format::axis(*tick) }</span></div>
                }) }
                <svg viewBox={format!("0 0 {} 100", (count.max(1) as f64) * WIDTH)} preserveAspectRatio="none" aria-hidden="true">
                    { for paths(chart, props.shape, top).into_iter().map(|Path { kind, slot, is_open, d }| html! {
                        <path class={classes!(kind, slot.map(|slot| format!("s{slot}")), is_open.then_some("open"))} {d} />
                    }) }
                </svg>
                { for marks.iter().map(|mark| html! {
                    <span class="mark" aria-hidden="true" style={format!("left:{:.3}%", centre(mark.bucket, count))}>{ props.happened.drawn(mark) }</span>
                }) }
                if let Some(chosen) = chosen {
                    <div class="chosen-span" style={place(&chosen, count)} />
                }
                if let Some(at) = shown {
                    <div class="cursor-line" style={format!("left:{:.3}%", centre(at, count))} />
                }
                <div role="status">
                    if let Some(at) = shown {
                        <div class={classes!("read", if at * 2 < count { "right" } else { "left" })}>
                            { readout(chart, at, is_stacked) }
                            if let Some(mark) = mark_at(&marks, at, count) {
                                { props.happened.read(mark) }
                            }
                            if let Some(range) = selected {
                                <p class="soft told">{ words::selected(&words::range(&range)) }</p>
                            }
                        </div>
                    }
                </div>
            </div>
            <p id="chart-keys" class="hidden">{ words::CHART_KEYS }</p>
            <div class="time-axis" aria-hidden="true">
                { for chart.labels().into_iter().map(|(at, label)| html! { <span key={at} style={format!("left:{:.3}%", centre(at, count))}>{ label }</span> }) }
            </div>
            <AsTable chart={chart.clone()} {is_stacked} />
        </>
    }
}

/// The names of lines: each of several is a button that shows its line alone, and all lines again.
fn legend(whole: &Rc<Drawn>, shown: &Rc<Drawn>, is_stacked: bool, router: &Router) -> Html {
    let is_alone = !Rc::ptr_eq(whole, shown);
    let entry = |line: &Line| {
        let is_pressed = is_alone && shown.lines[0].key == line.key;
        let title = if is_pressed { words::ALL_LINES } else { words::ALONE };
        let (router, wanted) = (router.clone(), (!is_pressed).then(|| line.key.clone()));
        let onclick = Callback::from(move |_: MouseEvent| {
            let wanted = wanted.clone();
            router.change(|query| query.line = wanted);
        });
        html! {
            <li key={format!("line {}", line.key)}>
                <button type="button" aria-pressed={is_pressed.to_string()} {title} {onclick}><span class={classes!("swatch", colour(line))} aria-hidden="true" /><bdi>{ &line.name }</bdi></button>
            </li>
        }
    };
    html! {
        <ul class={classes!("legend", is_alone.then_some("alone"))}>
            { for whole.lines.iter().rev().filter(|_| whole.lines.len() > 1).map(entry) }
            if shown.drawn_before(is_stacked).is_some() {
                <li key="before"><span class="swatch before-swatch" aria-hidden="true" />{ words::BEFORE_TOTAL }</li>
            }
            if shown.buckets.iter().any(|bucket| bucket.is_provisional) {
                <li key="open"><span class="swatch provisional-swatch" aria-hidden="true" />{ words::STILL_CHANGES }</li>
            }
        </ul>
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

/// Returns what is to be known of a bucket, in words; empty where there is nothing.
pub(super) fn state(bucket: &Bucket) -> &'static str {
    match (bucket.is_partial, bucket.is_provisional) {
        (_, true) => words::STILL_CHANGES.get(),
        (true, false) => words::PARTIAL.get(),
        (false, false) => "",
    }
}

/// The numbers of the bucket at the cursor.
fn readout(chart: &Drawn, at: usize, is_stacked: bool) -> Html {
    let bucket = &chart.buckets[at];
    let number = |value: Option<i64>| value.map_or_else(|| "–".to_owned(), format::count);
    html! {
        <>
            <p class="when"><strong>{ bucket.time() }</strong><span class="soft">{ state(bucket) }</span></p>
            <table>
                <tbody>
                    { for chart.lines.iter().rev().map(|line| html! {
                        <tr>
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
        </>
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{annotations::tests::happened, series::tests::chart},
        *,
    };
    use crate::{api::Role, kit::render, router::Place};

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
            let props = Props { chart: Rc::new(chart()), shape, happened };
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

    #[derive(Clone, PartialEq, Properties)]
    struct AtProps {
        query: &'static str,
        shape: Shape,
    }

    /// The chart of an address.
    #[component]
    fn At(props: &AtProps) -> Html {
        let router = Router::still(Place::read("/explore", props.query));
        html! { <ContextProvider<Router> context={router}><Chart chart={Rc::new(chart())} shape={props.shape} /></ContextProvider<Router>> }
    }

    #[tokio::test]
    async fn a_line_of_the_address_is_shown_alone() {
        for shape in Shape::ALL {
            let drawn = async |query| render::<At>(AtProps { query, shape }).await;
            let (whole, alone) = (drawn("").await, drawn("?l=FR").await);
            assert_eq!(whole.matches(r#"aria-pressed="false""#).count(), 3, "{whole}");
            assert!(!whole.contains(r#"aria-pressed="true""#), "{whole}");
            let pressed = alone.split(r#"aria-pressed="true""#).nth(1).unwrap_or_default();
            assert!(pressed.contains(words::ALL_LINES.get()) && pressed.contains("<bdi>FR</bdi>"), "{alone}");
            assert!(alone.contains("time: FR. Arrow") && !alone.contains("before-line"), "{alone}");
            let lines = |page: &str| page.matches("<path").count();
            assert!(lines(&alone) < lines(&whole), "{shape:?}: {alone}");
            assert_eq!(drawn("?l=SE").await, whole, "there is no such line");
        }
    }
}
