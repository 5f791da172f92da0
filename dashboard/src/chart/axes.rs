//! Grid and labels, below the marks.

use std::rc::Rc;

use clickwire_protocol::MINUTE_MS;
use yew::prelude::*;

use super::Frame;
use crate::{
    format,
    scale::{count_ticks, minute_ticks},
    stack::Stack,
    zone::Zone,
};

/// The least distance between two labels of time, in pixels.
const TIME_LABEL: f64 = 56.0;

/// Properties of the axes.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The marks.
    pub stack: Rc<Stack>,
    /// Size of the chart.
    pub frame: Frame,
    /// The zone of times.
    pub zone: Zone,
}

/// Ticks of clicks that hold the whole stack.
pub fn ticks(stack: &Stack) -> Vec<f64> {
    count_ticks(stack.max(), 5)
}

/// Both axes.
#[component]
pub fn Axes(props: &Props) -> Html {
    let Props { stack, frame, zone } = props;
    if frame.width <= 0.0 {
        return html! {};
    }
    let counts = ticks(stack);
    let (x, y) = (frame.x(stack), frame.y(&counts));
    let (first, last) = (stack.at.first().copied().unwrap_or(0.0), stack.at.last().copied().unwrap_or(0.0));
    let wanted = ((frame.width - Frame::LEFT - Frame::RIGHT) / TIME_LABEL) as usize;
    let minutes =
        minute_ticks(first as i64, last as i64, wanted, zone.ahead_minutes(last as i64 * MINUTE_MS));
    let right = frame.width - Frame::RIGHT;
    let bottom = frame.height - Frame::BOTTOM;
    html! {
        <svg class="axes" width={frame.width.to_string()} height={frame.height.to_string()} aria-hidden="true" focusable="false">
            { for counts.iter().map(|&tick| { let at = y.pixel(tick).round() + 0.5; html! {
                <g key={format!("y{tick}")}>
                    <line class={if tick == 0.0 { "base" } else { "grid" }} x1={Frame::LEFT.to_string()} x2={right.to_string()} y1={at.to_string()} y2={at.to_string()} />
                    <text x={(Frame::LEFT - 8.0).to_string()} y={(at + 3.5).to_string()} text-anchor="end">{ format::axis(tick) }</text>
                </g>
            } }) }
            { for minutes.iter().map(|&minute| { let at = x.pixel(minute as f64); html! {
                <g key={format!("x{minute}")}>
                    <line class="tick" x1={format!("{at:.1}")} x2={format!("{at:.1}")} y1={bottom.to_string()} y2={(bottom + 4.0).to_string()} />
                    <text x={format!("{at:.1}")} y={(bottom + 18.0).to_string()} text-anchor={anchor(at, frame.width)}>{ zone.time_of_day(minute * MINUTE_MS) }</text>
                </g>
            } }) }
        </svg>
    }
}

/// Labels at the edges stay inside.
fn anchor(at: f64, width: f64) -> &'static str {
    if at > width - 20.0 { "end" } else { "middle" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Layer;

    #[tokio::test]
    async fn labels_are_round_and_hold_the_highest_point() {
        let at: Vec<f64> = (0..60).map(|n| f64::from(29_000_000 + n)).collect();
        let clicks = vec![412.0; 60];
        let layers = vec![Layer { slot: 0, campaign_id: None, clicks }];
        let stack = Rc::new(Stack { layers, at, provisional_from: 0.0 });
        let props = Props { stack, frame: Frame { width: 600.0, height: 300.0 }, zone: Zone::tokyo() };
        let axes = yew::LocalServerRenderer::<Axes>::with_props(props).hydratable(false).render().await;
        for label in [">0<", ">100<", ">500<", ">06:20<", ">06:30<", ">07:10<"] {
            assert!(axes.contains(label), "{label} is missing: {axes}");
        }
    }
}
