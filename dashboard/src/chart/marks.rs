//! The marks, on a canvas as fine as the screen.

use std::f64::consts::TAU;

use wasm_bindgen::JsCast as _;
use web_sys::{CanvasRenderingContext2d, CssStyleDeclaration, HtmlCanvasElement, window};

use super::{Frame, axes, colour_property};
use crate::{
    decimation::{Point, min_max},
    scale::Scale,
    stack::Stack,
};

/// A pass of drawing: the style of the final or of the provisional part.
struct Pass {
    from: f64,
    to: f64,
    fill_alpha: f64,
    line_alpha: f64,
    dash: &'static [f64],
}

/// Draws the stack, all of it.
pub fn draw(canvas: &HtmlCanvasElement, frame: Frame, stack: &Stack) {
    let Some(window) = window() else { return };
    let Some(context) =
        canvas.get_context("2d").ok().flatten().and_then(|c| c.dyn_into::<CanvasRenderingContext2d>().ok())
    else {
        return;
    };
    let ratio = window.device_pixel_ratio().max(1.0);
    let (width, height) = ((frame.width * ratio).round() as u32, (frame.height * ratio).round() as u32);
    if (canvas.width(), canvas.height()) != (width, height) {
        canvas.set_width(width);
        canvas.set_height(height);
    }
    // These fail on values that are not finite; ours are.
    context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0).ok();
    context.clear_rect(0.0, 0.0, frame.width, frame.height);
    let Some(style) = window.get_computed_style(canvas).ok().flatten() else { return };

    let x = frame.x(stack);
    let y = frame.y(&axes::ticks(stack));
    let bottom = frame.height - Frame::BOTTOM;
    let mut lower: Vec<Point> = stack.at.iter().map(|&at| (x.pixel(at), bottom)).collect();
    let border = x.pixel(stack.provisional_from);
    let passes = [
        Pass { from: 0.0, to: border, fill_alpha: 0.32, line_alpha: 1.0, dash: &[] },
        Pass { from: border, to: frame.width, fill_alpha: 0.13, line_alpha: 0.9, dash: &[3.0, 3.0] },
    ];
    for (layer, edge) in stack.layers.iter().zip(stack.edges()) {
        let upper = points(&stack.at, &edge, &x, &y);
        let colour = colour(&style, &colour_property(layer.slot));
        for pass in &passes {
            context.save();
            context.begin_path();
            context.rect(pass.from, 0.0, (pass.to - pass.from).max(0.0), frame.height);
            context.clip();
            layer_between(&context, &lower, &upper, &colour, pass);
            context.restore();
        }
        lower = upper;
    }
    if let (Some(&(tip_x, tip_y)), false) = (lower.last(), stack.layers.is_empty()) {
        context.set_fill_style_str(&colour(&style, "color"));
        context.begin_path();
        context.arc(tip_x, tip_y, 3.0, 0.0, TAU).ok();
        context.fill();
    }
}

fn layer_between(
    context: &CanvasRenderingContext2d,
    lower: &[Point],
    upper: &[Point],
    colour: &str,
    pass: &Pass,
) {
    trace(context, upper.iter());
    for &(x, y) in lower.iter().rev() {
        context.line_to(x, y);
    }
    context.close_path();
    context.set_fill_style_str(colour);
    context.set_global_alpha(pass.fill_alpha);
    context.fill();

    trace(context, upper.iter());
    context.set_stroke_style_str(colour);
    context.set_global_alpha(pass.line_alpha);
    context.set_line_width(1.5);
    context.set_line_join("round");
    let dash: js_sys::Array = pass.dash.iter().copied().map(wasm_bindgen::JsValue::from_f64).collect();
    // It fails on values that are not finite; ours are.
    context.set_line_dash(&dash).ok();
    context.stroke();
}

fn trace<'a>(context: &CanvasRenderingContext2d, points: impl Iterator<Item = &'a Point>) {
    context.begin_path();
    for (n, &(x, y)) in points.enumerate() {
        if n == 0 { context.move_to(x, y) } else { context.line_to(x, y) }
    }
}

fn points(at: &[f64], edge: &[f64], x: &Scale, y: &Scale) -> Vec<Point> {
    let points: Vec<Point> = at.iter().zip(edge).map(|(&at, &sum)| (x.pixel(at), y.pixel(sum))).collect();
    min_max(&points)
}

fn colour(style: &CssStyleDeclaration, property: &str) -> String {
    let colour = style.get_property_value(property).unwrap_or_default();
    let colour = colour.trim();
    if colour.is_empty() { "gray".to_owned() } else { colour.to_owned() }
}
