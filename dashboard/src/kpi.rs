//! A card with one number: its meaning, its change and its curve.

use std::fmt::Write as _;

use yew::prelude::*;

/// The tone of a chip or a card: good news or bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Neither.
    #[default]
    Neutral,
    /// Warning: to be watched.
    Warning,
    /// Bad.
    Critical,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A few words beside the number.
#[derive(Clone, Debug, PartialEq)]
pub struct Chip {
    /// Text of the chip.
    pub text: String,
    /// Meaning of the text.
    pub title: String,
    /// Tone of the chip.
    pub tone: Tone,
}

/// A card's contents.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The number's name.
    pub label: AttrValue,
    /// The number, for people.
    pub value: AttrValue,
    /// The number, for tests and scripts.
    pub data_value: AttrValue,
    /// The card's name in tests.
    pub testid: AttrValue,
    /// A remark below the number.
    pub note: AttrValue,
    /// Comparison with the period before, in words.
    #[prop_or_default]
    pub change: Option<AttrValue>,
    /// Verdict of the deployment's rule about the number.
    #[prop_or_default]
    pub chip: Option<Chip>,
    /// Curve of the number: values at equal distances, up to now.
    pub spark: Vec<f64>,
    /// Number of values that the curve has room for, if fewer are known yet.
    #[prop_or_default]
    pub spark_room: usize,
    /// The colour of the curve, and of the number when it's bad news.
    #[prop_or_default]
    pub tone: Tone,
    /// There is no number yet.
    pub loading: bool,
}

/// The card.
#[component]
pub fn Kpi(props: &Props) -> Html {
    html! {
        <section class={classes!("card", "kpi", props.tone.class())} data-testid={props.testid.clone()}
            data-value={(!props.loading).then(|| props.data_value.clone())} aria-busy={props.loading.then_some("true")}>
            <h2>{ &props.label }</h2>
            if props.loading {
                <div class="skeleton number" /><div class="skeleton line" />
            } else {
                <p class="number" style={format!("--characters:{}", props.value.chars().count().max(1))}>
                    <span class="value">{ &props.value }</span>
                    if let Some(chip) = &props.chip {
                        <span class={classes!("chip", chip.tone.class())} title={chip.title.clone()}>
                            { &chip.text }<span class="hidden">{ format!(" {}", chip.title) }</span>
                        </span>
                    }
                </p>
                <p class="note">{ &props.note }</p>
                <p class="note change">{ props.change.clone() }</p>
                <Sparkline values={props.spark.clone()} room={props.spark_room} />
            }
        </section>
    }
}

/// A curve's values, oldest first.
#[derive(Clone, PartialEq, Properties)]
pub struct SparklineProps {
    /// Values, at least two for a curve.
    pub values: Vec<f64>,
    /// Number of values that there is room for: fewer are at the end of it.
    #[prop_or_default]
    pub room: usize,
}

/// A curve without axes.
#[component]
pub fn Sparkline(props: &SparklineProps) -> Html {
    let Some((line, area)) = paths(&props.values, props.room) else {
        return html! { <div class="spark" /> };
    };
    html! {
        <svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true" focusable="false">
            <path class="area" d={area} /><path class="curve" d={line} />
        </svg>
    }
}

/// The curve in a box of 100 by 30, and the area below it. It ends at the right, however few values there are.
fn paths(values: &[f64], room: usize) -> Option<(String, String)> {
    let (low, high) =
        values.iter().fold((f64::MAX, 0.0_f64), |(low, high), &value| (low.min(value), high.max(value)));
    if values.len() < 2 || high <= 0.0 {
        return None;
    }
    // Room below the lowest, so that the curve shows its shape; a range of its own, so that noise
    // stays small.
    let range = (high - low).max(0.25 * high);
    let floor = (low - 0.6 * range).max(0.0);
    let mut line = String::new();
    let room = room.max(values.len());
    let x = |n: usize| 100.0 * (room - values.len() + n) as f64 / (room - 1) as f64;
    for (n, value) in values.iter().enumerate() {
        let x = x(n);
        let y = 28.0 - 25.0 * (value - floor) / (high - floor);
        // Writing to a string does not fail.
        write!(line, "{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' }).ok()?;
    }
    let area = format!("{line}L100 30L{:.1} 30Z", x(0));
    Some((line, area))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(loading: bool) -> Props {
        Props {
            label: "Clicks".into(),
            value: "1,234".into(),
            data_value: "1234".into(),
            testid: "kpi-clicks".into(),
            note: "last 60 minutes".into(),
            change: Some("5% more than the hour before".into()),
            chip: Some(Chip { text: "Warning".into(), title: "from 3%".into(), tone: Tone::Warning }),
            spark: vec![1.0, 2.0],
            spark_room: 0,
            tone: Tone::Neutral,
            loading,
        }
    }

    #[tokio::test]
    async fn the_number_is_there_for_people_and_tests() {
        let card = yew::LocalServerRenderer::<Kpi>::with_props(props(false)).hydratable(false).render().await;
        assert!(
            card.contains(r#"data-testid="kpi-clicks""#) && card.contains(r#"data-value="1234""#),
            "{card}"
        );
        assert!(
            card.contains("1,234")
                && card.contains("5% more than the hour before")
                && card.contains("Warning"),
            "{card}"
        );
    }

    #[tokio::test]
    async fn a_number_that_is_not_there_is_not_zero() {
        let card = yew::LocalServerRenderer::<Kpi>::with_props(props(true)).hydratable(false).render().await;
        assert!(
            !card.contains("data-value") && !card.contains("1,234") && !card.contains("more than"),
            "{card}"
        );
        assert!(card.contains(r#"aria-busy="true""#), "{card}");
    }

    #[test]
    fn what_is_not_known_is_not_drawn() {
        let (line, area) = paths(&[4.0, 4.0, 4.0], 5).unwrap();
        assert!(line.starts_with("M50.0 ") && line.contains("L100.0 "), "{line}");
        assert!(area.ends_with("L100 30L50.0 30Z"), "{area}");
    }

    #[test]
    fn curves_fill_their_box() {
        let (line, area) = paths(&[0.0, 10.0, 5.0], 0).unwrap();
        assert_eq!(line, "M0.0 28.0L50.0 3.0L100.0 15.5");
        assert_eq!(area, "M0.0 28.0L50.0 3.0L100.0 15.5L100 30L0.0 30Z");
        assert_eq!(paths(&[100.0, 90.0], 0).unwrap().0, "M0.0 3.0L100.0 13.0", "the floor is 75");
        assert!(paths(&[1.0], 0).is_none());
        assert!(paths(&[0.0, 0.0], 0).is_none());
    }
}
