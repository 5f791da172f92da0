//! Which campaign has which colour. A campaign keeps its colour for as long as it is shown by
//! itself, however ranks change: a chart that moves must not swap its colours.

/// How many campaigns are shown by themselves; the others are "Other".
pub const SLOTS: usize = 5;

/// The colour of "Other", after those of the campaigns.
pub const OTHER: usize = SLOTS;

/// Campaigns by colour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    slots: [Option<String>; SLOTS],
}

impl Palette {
    /// Shows `top` (the first [`SLOTS`] of it): who was there keeps its place, who is new takes a
    /// free one.
    pub fn show<'a>(&mut self, top: impl Iterator<Item = &'a str>) {
        let top: Vec<&str> = top.take(SLOTS).collect();
        for slot in &mut self.slots {
            if slot.as_deref().is_some_and(|shown| !top.contains(&shown)) {
                *slot = None;
            }
        }
        for campaign in top {
            if self.slot_of(campaign).is_none()
                && let Some(free) = self.slots.iter_mut().find(|slot| slot.is_none())
            {
                *free = Some(campaign.to_owned());
            }
        }
    }

    /// The campaign's colour, if it is shown by itself.
    pub fn slot_of(&self, campaign: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.as_deref() == Some(campaign))
    }

    /// Colour and campaign of all that are shown by themselves, in the order of colours.
    pub fn shown(&self) -> impl Iterator<Item = (usize, &str)> {
        self.slots.iter().enumerate().filter_map(|(slot, campaign)| Some((slot, campaign.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_when_ranks_change() {
        let mut palette = Palette::default();
        palette.show(["a", "b", "c", "d", "e", "f"].into_iter());
        assert_eq!(palette.slot_of("c"), Some(2));
        assert_eq!(palette.slot_of("f"), None);
        palette.show(["f", "e", "c", "a", "d", "b"].into_iter());
        assert_eq!(palette.slot_of("c"), Some(2));
        assert_eq!(palette.slot_of("b"), None);
        assert_eq!(palette.slot_of("f"), Some(1), "the free colour");
        palette.show(["c"].into_iter());
        assert_eq!(palette.shown().collect::<Vec<_>>(), [(2, "c")]);
    }
}
