//! The colours of campaigns: each has the one that its id says, so that two people see the same.
//!
//! Of campaigns that are shown together, two may want one colour. Then the one whose id comes later takes the next
//! that is free: still the same for everybody who sees these campaigns.

use std::collections::BTreeMap;

/// The number of campaigns that are shown by themselves; the others are "Other".
pub const SHOWN: usize = 5;

/// The number of colours for campaigns.
pub const COLOURS: usize = 10;

/// The colour of "Other", after those of the campaigns.
pub const OTHER: usize = COLOURS;

/// Colours of the campaigns that are shown by themselves, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Palette(BTreeMap<String, usize>);

impl Palette {
    /// Colours for `shown`, at most [`COLOURS`] of them.
    pub fn new<'a>(shown: impl IntoIterator<Item = &'a str>) -> Self {
        let mut ids: Vec<&str> = shown.into_iter().take(COLOURS).collect();
        ids.sort_unstable();
        let mut is_taken = [false; COLOURS];
        let mut colours = BTreeMap::new();
        for id in ids {
            let wanted = wanted(id);
            let free = (0..COLOURS).map(|n| (wanted + n) % COLOURS).find(|&slot| !is_taken[slot]);
            let slot = free.unwrap_or(wanted);
            is_taken[slot] = true;
            colours.insert(id.to_owned(), slot);
        }
        Self(colours)
    }

    /// The campaign's colour, if it is shown by itself.
    pub fn slot_of(&self, campaign: &str) -> Option<usize> {
        self.0.get(campaign).copied()
    }
}

/// The colour that an id wants: FNV-1a, which is the same everywhere and always.
pub fn wanted(id: &str) -> usize {
    let hash =
        id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % COLOURS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_the_ids_whatever_its_rank_and_whoever_looks() {
        let one = Palette::new(["camp_001", "camp_002", "camp_003"]);
        let other = Palette::new(["camp_003", "camp_001", "camp_002"]);
        assert_eq!(one, other);
        assert_eq!(Palette::new(["camp_002"]).slot_of("camp_002"), Some(wanted("camp_002")));
        assert_eq!(one.slot_of("camp_004"), None);
    }

    #[test]
    fn campaigns_that_are_shown_together_have_colours_of_their_own() {
        let ids: Vec<String> = (0..200).map(|n| format!("campaign {n}")).collect();
        for shown in ids.windows(COLOURS) {
            let palette = Palette::new(shown.iter().map(String::as_str));
            let mut slots: Vec<_> = shown.iter().filter_map(|id| palette.slot_of(id)).collect();
            slots.sort_unstable();
            assert_eq!(slots, (0..COLOURS).collect::<Vec<_>>());
        }
        let used: std::collections::BTreeSet<usize> = ids.iter().map(|id| wanted(id)).collect();
        assert_eq!(used.len(), COLOURS, "every colour is wanted by some");
    }
}
