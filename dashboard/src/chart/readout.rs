//! The cursor's line and the box with the numbers of its minute.

use std::rc::Rc;

use yew::prelude::*;

use super::{Frame, axes, name_of, time_of};
use crate::{directory::Names, format, stack::Stack, words, zone::Zone};

/// Properties of the readout.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The marks.
    pub stack: Rc<Stack>,
    /// Names of campaigns.
    pub names: Rc<Names>,
    /// Size of the chart.
    pub frame: Frame,
    /// The zone of times.
    pub zone: Zone,
    /// Number of the point that is read.
    pub point: usize,
}

/// The line, a dot on the total, and a box with all numbers of the minute.
#[component]
pub fn Readout(props: &Props) -> Html {
    let Props { stack, names, frame, zone, point } = props;
    let Some(&at) = stack.at.get(*point) else {
        return html! {};
    };
    let x = frame.x(stack).pixel(at);
    let y = frame.y(&axes::ticks(stack)).pixel(stack.total_at(*point));
    let (width, height) = (frame.width.to_string(), frame.height.to_string());
    // The box is on the side with more room.
    let side = if x > frame.width / 2.0 {
        format!("right:{:.0}px", frame.width - x + 12.0)
    } else {
        format!("left:{:.0}px", x + 12.0)
    };
    let tip = point + 1 == stack.at.len();
    html! {
        <>
            <svg class="cursor" {width} {height} aria-hidden="true" focusable="false">
                <line x1={format!("{x:.1}")} x2={format!("{x:.1}")} y1={Frame::TOP.to_string()} y2={(frame.height - Frame::BOTTOM).to_string()} />
                <circle cx={format!("{x:.1}")} cy={format!("{y:.1}")} r="4" />
            </svg>
            <div class="readout" style={side} aria-hidden="true">
                <p class="when">
                    <strong>{ time_of(stack, zone, *point) }</strong>
                    if stack.is_provisional(*point) {
                        <span>{ if tip { words::ABOUT } else { words::STILL_PROVISIONAL } }</span>
                    }
                </p>
                <table>
                    <tr class="total"><td>{ words::TOTAL }</td><td>{ clicks(stack.total_at(*point)) }</td></tr>
                    { for stack.layers.iter().rev().map(|layer| html! {
                        <tr key={layer.slot}>
                            <td><span class="name"><span class="swatch" data-slot={layer.slot.to_string()} /><bdi>{ name_of(layer.campaign_id.as_deref(), names) }</bdi></span></td>
                            <td>{ clicks(layer.clicks.get(*point).copied().unwrap_or_default()) }</td>
                        </tr>
                    }) }
                </table>
            </div>
        </>
    }
}

/// Returns the box's content in a sentence for screen readers.
pub fn aloud(stack: &Stack, names: &Names, zone: &Zone, point: usize) -> String {
    let mut text = words::clicks_at(&time_of(stack, zone, point), &clicks(stack.total_at(point)));
    for layer in &stack.layers {
        let layer_clicks = layer.clicks.get(point).copied().unwrap_or_default();
        text += &format!(", {} {}", name_of(layer.campaign_id.as_deref(), names), clicks(layer_clicks));
    }
    if stack.is_provisional(point) {
        text += &format!(", {}", words::STILL_PROVISIONAL);
    }
    text
}

/// A number of clicks, of a part of a minute too.
pub(super) fn clicks(value: f64) -> String {
    format::count(value.round() as i64)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::stack::Layer;

    pub(in super::super) fn stack() -> Stack {
        let layer = |slot, campaign: Option<&str>, clicks: [f64; 3]| Layer {
            slot,
            campaign_id: campaign.map(Rc::from),
            clicks: clicks.to_vec(),
        };
        Stack {
            layers: vec![layer(0, Some("camp_001"), [1000.0, 20.0, 3.0]), layer(5, None, [234.0, 0.0, 0.4])],
            at: vec![29_000_000.0, 29_000_001.0, 29_000_001.5],
            provisional_from: 29_000_000.5,
        }
    }

    #[test]
    fn a_minute_is_read_aloud() {
        let names = Names::from([("camp_001".into(), "Spring".into())]);
        assert_eq!(
            aloud(&stack(), &names, &Zone::tokyo(), 0),
            "06:20: 1,234 clicks, Spring 1,000, Other 234"
        );
        assert_eq!(
            aloud(&stack(), &names, &Zone::tokyo(), 2),
            "Last 60 seconds: 3 clicks, Spring 3, Other 0, provisional"
        );
    }

    #[tokio::test]
    async fn the_box_says_the_same_and_what_can_still_change() {
        let frame = Frame { width: 500.0, height: 200.0 };
        let props = |point| Props {
            stack: Rc::new(stack()),
            names: Rc::default(),
            frame,
            zone: Zone::tokyo(),
            point,
        };
        let first =
            yew::LocalServerRenderer::<Readout>::with_props(props(0)).hydratable(false).render().await;
        assert!(
            first.contains("1,234")
                && first.contains("06:20")
                && first.contains("camp_001")
                && !first.contains("provisional"),
            "{first}"
        );
        let second =
            yew::LocalServerRenderer::<Readout>::with_props(props(1)).hydratable(false).render().await;
        assert!(second.contains("provisional") && second.contains("right:"), "{second}");
    }
}
