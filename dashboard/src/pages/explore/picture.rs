//! The chart as a picture: drawn as SVG with its title and legend, and put on a canvas with twice the points of the
//! screen, in the page's present colours. No request goes to the server.

use std::fmt::Write as _;

use js_sys::Promise;
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, CanvasRenderingContext2d, Element, HtmlCanvasElement, HtmlImageElement, Window};
use yew::{AttrValue, Callback};

use super::{
    annotations::Happened,
    chart::{Path, WIDTH, centre, paths, ticks},
    series::Chart,
};
use crate::{
    download, format,
    palette::OTHER,
    query::{Shape, encode},
    words,
};

/// Points of the canvas per point of the screen.
const FINE: f64 = 2.0;

/// The margin around the picture.
const MARGIN: f64 = 16.0;

/// The room for the numbers left of the chart.
const LEFT: f64 = 60.0;

/// The distance from one line of text to the next.
const LINE: f64 = 18.0;

/// The approximate width of a letter of the legend.
const LETTER: f64 = 7.4;

/// The width of a sign before a name of the legend, with the room around it.
const SIGN: f64 = 30.0;

/// The picture's data: chart, events, texts.
#[derive(Clone)]
pub(super) struct Picture {
    /// The lines.
    pub(super) chart: std::rc::Rc<Chart>,
    /// The shape of the drawing.
    pub(super) shape: Shape,
    /// The events that are marked.
    pub(super) happened: std::rc::Rc<Happened>,
    /// Scope and metric.
    pub(super) title: String,
    /// The range and its zone.
    pub(super) range: String,
    /// The time of the numbers, and the time up to which they are final.
    pub(super) as_of: String,
}

/// The page's present sizes and colours.
#[derive(Clone, Debug, Default)]
struct Look {
    width: f64,
    height: f64,
    text: String,
    soft: String,
    line: String,
    ground: String,
    series: Vec<String>,
}

impl Picture {
    /// Saves the picture through the browser. A failure is shown as a toast.
    pub(super) fn save(&self, name: String, toast: Callback<AttrValue>) {
        let drawn = web_sys::window().and_then(|window| Some(self.svg(&Look::present(&window)?)));
        spawn_local(async move {
            let saved = async {
                let (svg, width, height) = drawn?;
                let blob = blob(&svg, width * FINE, height * FINE).await?;
                download::keep(&blob, &name)
            };
            if saved.await.is_none() {
                toast.emit(words::NOT_DRAWN.into());
            }
        });
    }

    /// The picture as SVG, its width and its height.
    fn svg(&self, look: &Look) -> (String, f64, f64) {
        let is_stacked = self.shape != Shape::Lines;
        let (ticks, top) = ticks(&self.chart, is_stacked);
        let (count, width) = (self.chart.buckets.len(), look.width + LEFT + MARGIN);
        let mut svg = Svg { text: String::new(), look };
        svg.label(MARGIN, 28.0, 16, &look.text, "start", &self.title);
        svg.label(MARGIN, 46.0, 12, &look.soft, "start", &self.range);
        let y = svg.legend(&self.legend(is_stacked), 66.0, width);
        let x = |bucket: usize| LEFT + centre(bucket, count) / 100.0 * look.width;
        let bottom = y + look.height;
        for tick in &ticks {
            let y = bottom - tick / top * look.height;
            svg.add(format_args!(r#"<path d="M{LEFT} {y:.1}h{:.1}" stroke="{}"/>"#, look.width, look.line));
            svg.label(LEFT - 8.0, y + 4.0, 11, &look.soft, "end", &format::axis(*tick));
        }
        svg.add(format_args!(
            r#"<svg x="{LEFT}" y="{y:.1}" width="{:.1}" height="{:.1}" viewBox="0 0 {} 100" preserveAspectRatio="none" overflow="visible">"#,
            look.width,
            look.height,
            count.max(1) as f64 * WIDTH
        ));
        for path in paths(&self.chart, self.shape, top) {
            svg.path(&path);
        }
        svg.add(format_args!("</svg>"));
        let marks = self.happened.marks(&self.chart.begins());
        for mark in &marks {
            svg.label(x(mark.bucket), bottom + 13.0, 11, &look.text, "middle", &self.happened.drawn(mark));
        }
        let mut y = bottom + if marks.is_empty() { LINE } else { 2.0 * LINE };
        for (bucket, label) in self.chart.labels() {
            svg.label(x(bucket), y, 11, &look.soft, "middle", &label);
        }
        y += 8.0;
        for line in self.happened.lines().into_iter().chain([self.as_of.clone()]) {
            y += LINE;
            svg.label(MARGIN, y, 11, &look.soft, "start", &line);
        }
        let height = y + MARGIN;
        let text = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" font-family="Inter,system-ui,sans-serif"><rect width="100%" height="100%" fill="{}"/>{}</svg>"#,
            look.ground, svg.text
        );
        (text, width, height)
    }

    /// Names with their colours and dashes.
    fn legend(&self, is_stacked: bool) -> Vec<(Option<usize>, &'static str, &str)> {
        let chart = &self.chart;
        let mut legend: Vec<(Option<usize>, &str, &str)> =
            chart.lines.iter().rev().map(|line| (Some(line.slot), "", line.name.as_str())).collect();
        if chart.drawn_before(is_stacked).is_some() {
            legend.push((None, "1.5 4", words::BEFORE_TOTAL.get()));
        }
        if chart.buckets.iter().any(|bucket| bucket.is_provisional) {
            legend.push((None, "4 4", words::STILL_CHANGES.get()));
        }
        legend
    }
}

/// An SVG drawing under construction.
struct Svg<'a> {
    text: String,
    look: &'a Look,
}

impl Svg<'_> {
    fn add(&mut self, piece: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        self.text.write_fmt(piece).ok();
    }

    fn label(&mut self, x: f64, y: f64, size: u32, colour: &str, anchor: &str, text: &str) {
        let weight = if size > 12 { 600 } else { 400 };
        self.add(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" font-weight="{weight}" fill="{colour}" text-anchor="{anchor}">{}</text>"#,
            escaped(text)
        ));
    }

    /// Draws the legend from a height on; returns where the chart begins.
    fn legend(&mut self, legend: &[(Option<usize>, &'static str, &str)], from: f64, width: f64) -> f64 {
        let (mut x, mut y) = (MARGIN, from);
        for (slot, dash, name) in legend {
            let wide = SIGN + name.chars().count() as f64 * LETTER;
            if x > MARGIN && x + wide > width {
                (x, y) = (MARGIN, y + LINE);
            }
            let colour = self.colour(*slot);
            let thick = if slot.is_some() { 8 } else { 2 };
            self.add(format_args!(
                r#"<path d="M{x:.1} {:.1}h14" stroke="{colour}" stroke-width="{thick}" stroke-dasharray="{dash}"/>"#,
                y - 4.0
            ));
            let soft = self.look.soft.clone();
            self.label(x + 20.0, y, 12, &soft, "start", name);
            x += wide;
        }
        y + LINE
    }

    fn path(&mut self, Path { kind, slot, is_open, d }: &Path) {
        let colour = self.colour(*slot);
        let style = match (*kind, *is_open) {
            ("area", _) => format!(r#"fill="{colour}" opacity="0.28""#),
            ("bars", false) => format!(r#"fill="{colour}" opacity="0.9""#),
            ("bars", true) => format!(r#"fill="{colour}" opacity="0.45""#),
            (kind, is_open) => {
                let dash = if kind == "before-line" {
                    "1.5 4"
                } else if is_open {
                    "4 4"
                } else {
                    ""
                };
                format!(
                    r#"fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}" stroke-linejoin="round" stroke-linecap="round" vector-effect="non-scaling-stroke""#
                )
            }
        };
        self.add(format_args!(r#"<path d="{d}" {style}/>"#));
    }

    fn colour(&self, slot: Option<usize>) -> String {
        slot.and_then(|slot| self.look.series.get(slot)).unwrap_or(&self.look.soft).clone()
    }
}

/// Returns a text as it may stand in SVG.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\u{FFFE}' | '\u{FFFF}' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

impl Look {
    /// Sizes and colours as they are on the page.
    fn present(window: &Window) -> Option<Self> {
        let find = |css: &str| window.document()?.query_selector(css).ok()?;
        let style = |element: &Element| window.get_computed_style(element).ok()?;
        let of = |css: &str, property: &str| style(&find(css)?)?.get_property_value(property).ok();
        let area = find(".plot-area")?;
        let own = style(&area)?;
        let series = (0..=OTHER).map(|slot| own.get_property_value(&format!("--series-{slot}")).ok());
        Some(Self {
            width: area.client_width().into(),
            height: area.client_height().into(),
            text: of(".plot-card", "color")?,
            soft: of(".gridline span", "color")?,
            line: of(".gridline", "border-top-color")?,
            ground: of(".plot-card", "background-color")?,
            series: series.collect::<Option<_>>()?,
        })
    }
}

/// The picture as a file of the browser.
async fn blob(svg: &str, width: f64, height: f64) -> Option<Blob> {
    let image = HtmlImageElement::new().ok()?;
    image.set_src(&format!("data:image/svg+xml,{}", encode(svg)));
    JsFuture::from(image.decode()).await.ok()?;
    let document = web_sys::window()?.document()?;
    let canvas = document.create_element("canvas").ok()?.dyn_into::<HtmlCanvasElement>().ok()?;
    canvas.set_width(width as u32);
    canvas.set_height(height as u32);
    let context = canvas.get_context("2d").ok()??.dyn_into::<CanvasRenderingContext2d>().ok()?;
    context.draw_image_with_html_image_element_and_dw_and_dh(&image, 0.0, 0.0, width, height).ok()?;
    // Without a canvas of this size there is no file: nothing is resolved with, which is none.
    let made = Promise::new(&mut |resolve, _| drop(canvas.to_blob(&resolve)));
    JsFuture::from(made).await.ok()?.dyn_into().ok()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{
        super::{annotations::tests::happened, series::tests::chart},
        *,
    };
    use crate::api::Role;

    fn picture(shape: Shape) -> Picture {
        Picture {
            chart: Rc::new(chart()),
            shape,
            happened: Rc::new(happened(Role::Admin, "")),
            title: "Rock & <Roll>\u{0}: Clicks over time".to_owned(),
            range: "2026-11-28 10:00 – 12:30, Europe/Berlin".to_owned(),
            as_of: "As of 2026-11-28 12:30:05".to_owned(),
        }
    }

    fn look(width: f64) -> Look {
        let series = (0..=OTHER).map(|slot| format!("rgb({slot}, 0, 0)")).collect();
        let colour = |name: &str| name.to_owned();
        Look {
            width,
            height: 200.0,
            text: colour("black"),
            soft: colour("gray"),
            line: colour("silver"),
            ground: colour("white"),
            series,
        }
    }

    #[test]
    fn a_picture_says_what_the_page_says_in_every_shape() {
        for shape in Shape::ALL {
            let (svg, width, height) = picture(shape).svg(&look(600.0));
            assert_eq!(width, 676.0);
            assert!(height > 300.0, "{height}");
            for expected in [
                "Rock &amp; &lt;Roll&gt;: Clicks over time",
                "Europe/Berlin",
                "As of 2026-11-28 12:30:05",
                ">DE</text>",
                ">FR</text>",
                ">10:00</text>",
                words::STILL_CHANGES.get(),
                r#"fill="white""#,
                "Clicks wait",
                ">2</text>",
            ] {
                assert!(svg.contains(expected), "{shape:?}: {expected}: {svg}");
            }
            assert_eq!(svg.contains(words::BEFORE_TOTAL.get()), shape != Shape::Lines, "{shape:?}: {svg}");
            assert!(svg.contains(&format!("rgb({OTHER}, 0, 0)")), "{svg}");
        }
    }

    #[test]
    fn a_line_alone_is_alone_in_the_picture() {
        let chart = Rc::new(chart()).only(Some("FR"));
        let (svg, ..) = Picture { chart, ..picture(Shape::Stack) }.svg(&look(600.0));
        assert!(svg.contains(">FR</text>") && !svg.contains(">DE</text>"), "{svg}");
    }

    #[test]
    fn a_legend_that_has_no_room_goes_on_below() {
        let (_, _, wide) = picture(Shape::Stack).svg(&look(900.0));
        let (_, _, narrow) = picture(Shape::Stack).svg(&look(240.0));
        assert!(narrow > wide, "{narrow} {wide}");
    }
}
