//! The chart: clicks by minute, stacked by campaign, up to now.
//!
//! Marks are drawn on a canvas ([`marks`]), everything that is read or touched lies above and below
//! it as HTML and SVG ([`axes`], [`readout`]). Moving the cursor never redraws the canvas; new
//! numbers draw it once, in the animation frame in which the model said so.

use std::rc::Rc;

use clickwire_protocol::{MINUTE_MS, times::UnixMs};
use wasm_bindgen::{JsCast as _, closure::Closure};
use web_sys::{Element, HtmlCanvasElement, ResizeObserver};
use yew::prelude::*;

use crate::{directory::Names, palette::OTHER, scale::Scale, stack::Stack, words, zone::Zone};

mod as_table;
pub mod axes;
pub mod cursor;
pub mod marks;
pub mod readout;

use as_table::AsTable;
use axes::Axes;
use cursor::Cursor;
use readout::Readout;

/// The size of the chart, in CSS pixels, from which the place of the marks follows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Frame {
    /// Width of everything.
    pub width: f64,
    /// Height of everything.
    pub height: f64,
}

impl Frame {
    const LEFT: f64 = 44.0;
    const RIGHT: f64 = 10.0;
    const TOP: f64 = 10.0;
    const BOTTOM: f64 = 26.0;

    /// Returns the scale from minutes to pixels.
    pub fn x(&self, stack: &Stack) -> Scale {
        let domain = (stack.at.first().copied().unwrap_or(0.0), stack.at.last().copied().unwrap_or(1.0));
        Scale::new(domain, (Self::LEFT, (self.width - Self::RIGHT).max(Self::LEFT)))
    }

    /// Returns the scale from clicks to pixels, up to the last of `ticks`.
    pub fn y(&self, ticks: &[f64]) -> Scale {
        let max = ticks.last().copied().unwrap_or(1.0);
        Scale::new((0.0, max), ((self.height - Self::BOTTOM).max(Self::TOP), Self::TOP))
    }
}

/// Properties of the chart.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The layers.
    pub stack: Rc<Stack>,
    /// Names of campaigns.
    pub names: Rc<Names>,
    /// The window in words.
    pub window: AttrValue,
    /// The window goes on, up to now.
    pub is_live: bool,
    /// Minutes that end at or before this are final; `None`: the server has not said.
    pub final_before: Option<UnixMs>,
    /// The zone of times.
    pub zone: Zone,
    /// There was no click in the window.
    pub empty: bool,
    /// There are no numbers yet.
    pub loading: bool,
    /// Changes when colours do, so that the canvas takes the new ones.
    pub colours: u32,
}

/// The chart with its legend.
#[component]
pub fn Chart(props: &Props) -> Html {
    let (plot, canvas) = (use_node_ref(), use_node_ref());
    let frame = use_state_eq(Frame::default);
    let cursor = use_state_eq(|| None::<Cursor>);
    // Whether the cursor was moved by keys: then it's read aloud.
    let by_keys = use_state_eq(|| false);

    use_frame(&plot, &frame);
    {
        let canvas = canvas.clone();
        let deps = (props.stack.clone(), *frame, props.colours);
        use_effect_with(deps, move |(stack, frame, _)| {
            if let Some(canvas) = canvas.cast::<HtmlCanvasElement>() {
                marks::draw(&canvas, *frame, stack);
            }
        });
    }

    let stack = &props.stack;
    let point = cursor.and_then(|cursor| cursor.point(stack));
    // A tap reads as a pointer that passes does.
    let read = {
        let (stack, frame, cursor, by_keys) = (stack.clone(), *frame, cursor.clone(), by_keys.clone());
        Callback::from(move |event: PointerEvent| {
            let minutes = frame.x(&stack).value(f64::from(event.offset_x()));
            cursor.set(stack.nearest(minutes).map(|point| Cursor::at(&stack, point)));
            by_keys.set(false);
        })
    };
    let hide = {
        let (cursor, by_keys) = (cursor.clone(), by_keys.clone());
        Callback::from(move |()| {
            cursor.set(None);
            by_keys.set(false);
        })
    };
    let onpointerleave = {
        let hide = hide.clone();
        Callback::from(move |event: PointerEvent| {
            // A finger leaves as soon as it is lifted, and what it has read is to stay.
            if event.pointer_type() != "touch" {
                hide.emit(());
            }
        })
    };
    let onkeydown = {
        let (stack, cursor, by_keys) = (stack.clone(), cursor.clone(), by_keys.clone());
        Callback::from(move |event: KeyboardEvent| {
            let point = cursor.and_then(|cursor| cursor.point(&stack));
            if let Some(step) = cursor::step(&event.key(), point, stack.at.len()) {
                event.prevent_default();
                cursor.set(step.map(|point| Cursor::at(&stack, point)));
                by_keys.set(true);
            }
        })
    };
    let aloud =
        point.filter(|_| *by_keys).map(|point| readout::aloud(stack, &props.names, &props.zone, point));
    let shown = !props.loading && !props.empty;

    html! {
        <>
            <Legend stack={stack.clone()} names={props.names.clone()} final_before={props.final_before} zone={props.zone.clone()} />
            <div class="plot" ref={plot} role="group" tabindex="0" aria-roledescription={words::CHART} {onkeydown}
                onpointermove={read.clone()} onpointerdown={read} {onpointerleave} onblur={hide.reform(|_: FocusEvent| ())}
                aria-label={words::minutes_in_last(&props.window)}>
                if !props.loading {
                    <Axes stack={stack.clone()} frame={*frame} zone={props.zone.clone()} />
                }
                <canvas ref={canvas} data-testid="chart" aria-hidden="true" />
                if shown {
                    if let Some(point) = point {
                        <Readout stack={stack.clone()} names={props.names.clone()} frame={*frame} zone={props.zone.clone()} {point} />
                    }
                } else if props.loading {
                    <div class="skeleton block" />
                } else {
                    <div class="nothing">
                        <p>{ words::no_clicks_in_last(&props.window) }</p>
                        if props.is_live {
                            <p class="fine">{ words::CLICKS_APPEAR }</p>
                        }
                    </div>
                }
            </div>
            <p class="hidden" role="status">{ aloud }</p>
            <AsTable stack={stack.clone()} names={props.names.clone()} zone={props.zone.clone()} loading={props.loading} />
        </>
    }
}

/// Keeps `frame` at the size of `plot`.
#[hook]
fn use_frame(plot: &NodeRef, frame: &UseStateHandle<Frame>) {
    let (plot, frame) = (plot.clone(), frame.clone());
    use_effect_with((), move |()| {
        let element = plot.cast::<Element>();
        let measured = element.clone();
        let measure = Closure::<dyn FnMut()>::new(move || {
            if let Some(element) = &measured {
                let (width, height) = (element.client_width(), element.client_height());
                frame.set(Frame { width: width.into(), height: height.into() });
            }
        });
        // It calls once when it begins to observe.
        let observer = ResizeObserver::new(measure.as_ref().unchecked_ref()).ok();
        if let (Some(observer), Some(element)) = (&observer, &element) {
            observer.observe(element);
        }
        move || {
            if let Some(observer) = observer {
                observer.disconnect();
            }
            drop(measure);
        }
    });
}

#[derive(Clone, PartialEq, Properties)]
struct LegendProps {
    stack: Rc<Stack>,
    names: Rc<Names>,
    final_before: Option<UnixMs>,
    zone: Zone,
}

#[component]
fn Legend(props: &LegendProps) -> Html {
    let final_before = props.final_before.filter(|_| !props.stack.layers.is_empty());
    html! {
        <ul class="legend">
            { for props.stack.layers.iter().map(|layer| html! {
                <li key={layer.slot}><span class="swatch" data-slot={layer.slot.to_string()} aria-hidden="true" /><bdi>{ name_of(layer.campaign_id.as_deref(), &props.names) }</bdi></li>
            }) }
            if let Some(UnixMs(from_ms)) = final_before {
                <li class="provisional" title={words::PROVISIONAL_WHY}><span class="swatch" aria-hidden="true" />{ words::provisional_from(&props.zone.time_of_day(from_ms)) }</li>
            }
        </ul>
    }
}

/// A layer's name for people.
fn name_of(campaign_id: Option<&str>, names: &Names) -> String {
    campaign_id.map_or_else(
        || words::OTHER_CAMPAIGNS.into(),
        |id| names.get(id).cloned().unwrap_or_else(|| id.to_owned()),
    )
}

/// A point's time for people: the minute's, or that it's now.
fn time_of(stack: &Stack, zone: &Zone, point: usize) -> String {
    let at = stack.at.get(point).copied().unwrap_or_default();
    if point + 1 == stack.at.len() {
        words::LAST_SECONDS.into()
    } else {
        zone.time_of_day(at as i64 * MINUTE_MS)
    }
}

/// The custom property with the colour of a layer.
fn colour_property(slot: usize) -> String {
    format!("--series-{}", slot.min(OTHER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Layer;

    #[tokio::test]
    async fn the_legend_says_which_minutes_the_server_takes_to_be_provisional() {
        let layer = Layer { slot: 0, campaign_id: Some("camp_001".into()), clicks: vec![1.0] };
        let stack = Rc::new(Stack { layers: vec![layer], at: vec![1.0], provisional_from: 0.0 });
        let legend = async |final_before, stack: &Rc<Stack>| {
            let props =
                LegendProps { stack: stack.clone(), names: Rc::default(), final_before, zone: Zone::tokyo() };
            yew::LocalServerRenderer::<Legend>::with_props(props).hydratable(false).render().await
        };
        let from = Some(UnixMs(29_000_000 * MINUTE_MS));
        let shown = legend(from, &stack).await;
        assert!(shown.contains("Provisional from 06:20") && shown.contains("<bdi>camp_001</bdi>"), "{shown}");
        assert!(!legend(None, &stack).await.contains("Provisional"));
        assert!(!legend(from, &Rc::default()).await.contains("Provisional"));
    }
}
