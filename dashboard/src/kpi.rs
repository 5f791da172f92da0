//! A card with one number: what it is, how it moves, how it went.

use std::fmt::Write as _;

use yew::prelude::*;

/// Whether a chip or a card is good news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Neither.
    #[default]
    Neutral,
    /// Good.
    Good,
    /// To be watched.
    Warning,
    /// Bad.
    Critical,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A few words beside the number.
#[derive(Clone, Debug, PartialEq)]
pub struct Chip {
    /// What it says.
    pub text: String,
    /// What that means.
    pub title: String,
    /// How to take it.
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
    /// How it moved.
    pub chip: Option<Chip>,
    /// How it went: values at equal distances.
    pub spark: Vec<f64>,
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
                <p class="number">
                    <span class="value">{ &props.value }</span>
                    if let Some(chip) = &props.chip {
                        <span class={classes!("chip", chip.tone.class())} title={chip.title.clone()}>
                            { &chip.text }<span class="hidden">{ format!(" {}", chip.title) }</span>
                        </span>
                    }
                </p>
                <p class="note">{ &props.note }</p>
                <Sparkline values={props.spark.clone()} />
            }
        </section>
    }
}

/// A curve's values, oldest first.
#[derive(Clone, PartialEq, Properties)]
pub struct SparklineProps {
    /// At least two make a curve.
    pub values: Vec<f64>,
}

/// A curve without axes.
#[component]
pub fn Sparkline(props: &SparklineProps) -> Html {
    let Some((line, area)) = paths(&props.values) else {
        return html! { <div class="spark" /> };
    };
    html! {
        <svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true" focusable="false">
            <path class="area" d={area} /><path class="curve" d={line} />
        </svg>
    }
}

/// The curve in a box of 100 by 30, and the area below it.
fn paths(values: &[f64]) -> Option<(String, String)> {
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
    for (n, value) in values.iter().enumerate() {
        let x = 100.0 * n as f64 / (values.len() - 1) as f64;
        let y = 28.0 - 25.0 * (value - floor) / (high - floor);
        // Writing to a string does not fail.
        write!(line, "{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' }).ok()?;
    }
    let area = format!("{line}L100 30L0 30Z");
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
            chip: Some(Chip { text: "+5.0%".into(), title: "against before".into(), tone: Tone::Good }),
            spark: vec![1.0, 2.0],
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
        assert!(card.contains("1,234") && card.contains("+5.0%"), "{card}");
    }

    #[tokio::test]
    async fn a_number_that_is_not_there_is_not_zero() {
        let card = yew::LocalServerRenderer::<Kpi>::with_props(props(true)).hydratable(false).render().await;
        assert!(!card.contains("data-value") && !card.contains("1,234"), "{card}");
        assert!(card.contains(r#"aria-busy="true""#), "{card}");
    }

    #[test]
    fn curves_fill_their_box() {
        let (line, area) = paths(&[0.0, 10.0, 5.0]).unwrap();
        assert_eq!(line, "M0.0 28.0L50.0 3.0L100.0 15.5");
        assert_eq!(area, "M0.0 28.0L50.0 3.0L100.0 15.5L100 30L0 30Z");
        assert_eq!(paths(&[100.0, 90.0]).unwrap().0, "M0.0 3.0L100.0 13.0", "the floor is 75");
        assert!(paths(&[1.0]).is_none());
        assert!(paths(&[0.0, 0.0]).is_none());
    }
}
