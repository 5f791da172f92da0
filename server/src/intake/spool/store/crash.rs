//! A disk that loses its power.

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    Store,
    tests::{contents, waiting},
};
use crate::intake::disk::Disk;

proptest! {
    /// Clicks that were taken are there after a power cut at any moment; what was being taken is there whole or not at
    /// all; and the queue works on.
    #[test]
    fn a_power_cut_loses_nothing_that_was_taken(
        steps in prop::collection::vec((0_usize..12, 0_usize..12), 1..20),
        powered_for in 0_u32..200,
        seed: u64,
    ) {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = Disk::default();
        let mut store = Store::on(disk.clone(), 1 << 20).unwrap();
        disk.power(Some(powered_for));
        let (mut taken, mut attempted) = (Vec::new(), Vec::new());
        let mut next = 0;
        for (adds, removes) in steps {
            let added: Vec<_> = (next..next + adds as u128).map(waiting).collect();
            next += adds as u128;
            let Ok(oldest) = store.oldest(removes) else { break };
            let removed: Vec<_> = oldest.iter().map(|(number, _)| *number).collect();
            attempted = taken[removed.len()..].to_vec();
            attempted.extend_from_slice(&added);
            if store.commit(&removed, &added).is_err() {
                break;
            }
            taken = attempted.clone();
        }
        let left = disk.after_the_cut(&mut random);
        drop(store);
        let mut store = Store::on(Disk::holding(left), 1 << 20).unwrap();
        let found = contents(&store);
        prop_assert!(found == taken || found == attempted);
        prop_assert_eq!(store.clicks(), found.len() as u64);
        prop_assert_eq!(store.commit(&[], &[waiting(next)]).unwrap(), 1);
        prop_assert_eq!(contents(&store).pop(), Some(waiting(next)));
    }
}
