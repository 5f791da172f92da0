//! The layers of the chart: one a campaign, one for all others, each on top of those before.
//!
//! A layer has a point at each full minute, and one for the trailing 60 s at its tip: the present
//! minute would dip to zero whenever it begins, the trailing one goes on where the last ended.

use std::rc::Rc;

use clickwire_protocol::{MINUTE_MS, counts::Counts, times::UnixMs};

use crate::{
    overview::{Overview, trailing},
    palette::{OTHER, Palette, SHOWN},
};

/// Clicks of one colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The colour's number.
    pub slot: usize,
    /// The campaign; `None`: all others.
    pub campaign_id: Option<Rc<str>>,
    /// Clicks of each full minute, then of the trailing 60 s.
    pub clicks: Vec<f64>,
}

/// Layers from the bottom up, and the places of their points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stack {
    /// Layers, from the bottom up.
    pub layers: Vec<Layer>,
    /// Places of the points: minutes since the Unix epoch, of the beginning of their 60 s.
    pub at: Vec<f64>,
    /// Points after this time can still change: their 60 s end behind the watermark.
    pub provisional_from: f64,
}

impl Stack {
    /// The layers of an overview, coloured by `palette`: of the campaigns with the most clicks, and of all others.
    /// Minutes that end after `final_before` are provisional; as long as nobody has said which, all are.
    pub fn new(overview: &Overview, palette: &Palette, final_before: Option<UnixMs>) -> Self {
        let full = overview.full_minutes().len();
        let passed = overview.minute_passed();
        let mut at: Vec<f64> = (0..full).map(|n| (overview.first_minute + n as i64).0 as f64).collect();
        let tip = (overview.first_minute + full as i64).0 as f64 - 1.0 + passed;
        at.push(tip);

        let clicks = |by_minute: &[Counts]| -> Vec<f64> {
            let full = by_minute.iter().take(full).map(|counts| counts.clicks() as f64);
            full.chain([trailing(by_minute, passed)]).collect()
        };
        let mut others = clicks(&overview.by_minute);
        let mut layers = Vec::new();
        for row in overview.rows.iter().take(SHOWN) {
            let clicks = clicks(&overview.by_minute_of(row).collect::<Vec<_>>());
            others.iter_mut().zip(&clicks).for_each(|(rest, clicks)| *rest = (*rest - clicks).max(0.0));
            let slot = palette.slot_of(&row.campaign.id).unwrap_or(OTHER);
            layers.push(Layer { slot, campaign_id: Some(Rc::clone(&row.campaign.id)), clicks });
        }
        // A layer stays where it is when one campaign overtakes another.
        layers.sort_by(|a, b| (a.slot, &a.campaign_id).cmp(&(b.slot, &b.campaign_id)));
        if overview.rows.len() > SHOWN {
            layers.push(Layer { slot: OTHER, campaign_id: None, clicks: others });
        }
        // A point lies where its minute begins.
        let provisional_from =
            final_before.map_or(f64::NEG_INFINITY, |UnixMs(at)| at as f64 / MINUTE_MS as f64 - 1.0);
        Self { layers, at, provisional_from }
    }

    /// Returns whether a point can still change.
    pub fn is_provisional(&self, point: usize) -> bool {
        self.at.get(point).is_some_and(|&at| at > self.provisional_from)
    }

    /// Clicks of all layers at a point.
    pub fn total_at(&self, point: usize) -> f64 {
        self.layers.iter().filter_map(|layer| layer.clicks.get(point)).sum()
    }

    /// The highest point of the whole stack.
    pub fn max(&self) -> f64 {
        (0..self.at.len()).map(|point| self.total_at(point)).fold(0.0, f64::max)
    }

    /// Upper edges of the layers, from the bottom up: running sums of the layers' clicks.
    pub fn edges(&self) -> Vec<Vec<f64>> {
        let mut sum = vec![0.0; self.at.len()];
        self.layers
            .iter()
            .map(|layer| {
                sum.iter_mut().zip(&layer.clicks).for_each(|(sum, clicks)| *sum += clicks);
                sum.clone()
            })
            .collect()
    }

    /// The point nearest to a time in minutes.
    pub fn nearest(&self, minutes: f64) -> Option<usize> {
        (0..self.at.len())
            .min_by(|&a, &b| (self.at[a] - minutes).abs().total_cmp(&(self.at[b] - minutes).abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::tests::board;

    fn stack() -> Stack {
        let campaigns = ["a", "b", "c", "d", "e", "f", "g"].into_iter().zip([70, 60, 50, 40, 30, 20, 10]);
        let cells: Vec<_> = campaigns
            .flat_map(|(campaign, valid)| (96..=100).map(move |minute| (minute, campaign, valid, 0)))
            .collect();
        let overview = Overview::new(&board(96, &cells), 100 * MINUTE_MS + 15_000, 5);
        let palette = Palette::new(overview.rows.iter().take(SHOWN).map(|row| &*row.campaign.id));
        Stack::new(&overview, &palette, Some(UnixMs(97 * MINUTE_MS)))
    }

    #[test]
    fn five_campaigns_and_all_others() {
        let stack = stack();
        let mut names: Vec<Option<&str>> =
            stack.layers.iter().map(|layer| layer.campaign_id.as_deref()).collect();
        assert_eq!(names.pop(), Some(None), "the others are on top");
        names.sort_unstable();
        assert_eq!(names, [Some("a"), Some("b"), Some("c"), Some("d"), Some("e")]);
        assert_eq!(stack.layers[5].clicks[0], 30.0);
        assert_eq!(stack.total_at(0), 280.0);
        assert_eq!(stack.edges()[5][0], 280.0);
        assert_eq!(stack.edges()[4][0], 250.0);
    }

    #[test]
    fn the_tip_is_the_trailing_minute_where_it_began() {
        let stack = stack();
        assert_eq!(stack.at, [96.0, 97.0, 98.0, 99.0, 99.25]);
        let of_a = stack.layers.iter().find(|layer| layer.campaign_id.as_deref() == Some("a"));
        assert_eq!(of_a.map(|layer| layer.clicks[4]), Some(70.0 * 0.75 + 70.0));
        let provisional: Vec<bool> = (0..5).map(|point| stack.is_provisional(point)).collect();
        assert_eq!(provisional, [false, true, true, true, true], "96 is final, as the server says");
        assert_eq!(stack.nearest(98.4), Some(2));
        assert_eq!(stack.nearest(1e9), Some(4));
        assert_eq!(Stack::default().nearest(3.0), None);
    }
}
