//! The cursor: which minute is read. It stays on its minute while time goes on, and at the tip when
//! it is there.

use crate::stack::Stack;

/// The number of points that a page key moves.
const PAGE: usize = 10;

/// The point that is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cursor {
    /// A full minute, since the Unix epoch.
    Minute(i64),
    /// The last 60 s.
    Tip,
}

impl Cursor {
    /// The cursor on a point.
    pub fn at(stack: &Stack, point: usize) -> Self {
        if point + 1 >= stack.at.len() { Self::Tip } else { Self::Minute(stack.at[point] as i64) }
    }

    /// The point that it is on, if it has not left the window.
    pub fn point(self, stack: &Stack) -> Option<usize> {
        match self {
            Self::Tip => stack.at.len().checked_sub(1),
            Self::Minute(minute) => {
                let full = &stack.at[..stack.at.len().saturating_sub(1)];
                full.iter().position(|&at| at as i64 == minute)
            }
        }
    }
}

/// Returns the move of the cursor that a key asks for, from `point` among `points`: none (`None`), away
/// (`Some(None)`), or to a point. Without a cursor, keys begin at the tip.
pub fn step(key: &str, point: Option<usize>, points: usize) -> Option<Option<usize>> {
    let last = points.checked_sub(1)?;
    let from = point.unwrap_or(last);
    let to = match key {
        "ArrowLeft" | "ArrowRight" | "PageUp" | "PageDown" if point.is_none() => last,
        "ArrowLeft" => from.saturating_sub(1),
        "ArrowRight" => (from + 1).min(last),
        "PageUp" => from.saturating_sub(PAGE),
        "PageDown" => (from + PAGE).min(last),
        "Home" => 0,
        "End" => last,
        "Escape" if point.is_some() => return Some(None),
        _ => return None,
    };
    Some(Some(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_within_the_points() {
        assert_eq!(step("ArrowLeft", None, 60), Some(Some(59)));
        assert_eq!(step("ArrowLeft", Some(59), 60), Some(Some(58)));
        assert_eq!(step("ArrowLeft", Some(0), 60), Some(Some(0)));
        assert_eq!(step("ArrowRight", Some(59), 60), Some(Some(59)));
        assert_eq!(step("PageUp", Some(5), 60), Some(Some(0)));
        assert_eq!(step("Home", Some(5), 60), Some(Some(0)));
        assert_eq!(step("End", None, 60), Some(Some(59)));
        assert_eq!(step("Escape", Some(5), 60), Some(None));
        assert_eq!(step("Escape", None, 60), None, "left to others");
        assert_eq!(step("Tab", Some(5), 60), None);
        assert_eq!(step("End", None, 0), None);
    }

    #[test]
    fn it_stays_on_its_minute_while_the_window_moves() {
        let stack = |first: f64| Stack { at: vec![first, first + 1.0, first + 1.5], ..Stack::default() };
        let cursor = Cursor::at(&stack(100.0), 1);
        assert_eq!(cursor, Cursor::Minute(101));
        assert_eq!(cursor.point(&stack(101.0)), Some(0));
        assert_eq!(cursor.point(&stack(102.0)), None);
        assert_eq!(Cursor::at(&stack(100.0), 2).point(&stack(102.0)), Some(2));
        assert_eq!(Cursor::Tip.point(&Stack::default()), None);
    }
}
