//! The streams that wait for something to be fetched, and whose turn it is.
//!
//! A stream is decided about again when the answer is there that it waits for, and not before; it is refused when that
//! cannot be had, or does not come in time. A host ends an entry into the VM that takes too long, and with it everything
//! that is open there, so each entry does a [`Portion`], whoever sent how many requests: few decisions, as they may verify
//! a signature, and more refusals, which are cheap. And so many may wait for one thing, as anybody can cause that.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::policy::{Decider, Need};

/// How many streams may wait for one thing.
pub const MOST: usize = 512;

/// So many may wait in all before anybody looks whether they are still there.
const CROWD: usize = 1000;

/// Between two looks whether those who wait for one thing are still there, in milliseconds.
const BETWEEN_LOOKS: u64 = 20;

/// How many decisions, refusals, and streams that turn out to be gone one entry has room for.
const DECISIONS: usize = 8;
const REFUSALS: usize = 64;
const GONE: usize = 2048;

/// A paused stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// The host's number.
    pub id: u32,
    /// When it came, in Unix milliseconds.
    pub since: u64,
    /// What requires that which it waits for, if that is known.
    pub decider: Option<Decider>,
}

/// What is to be done about a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// The answer is there: decide again.
    Decide(Stream),
    /// This cannot be had, or did not come in time: refuse with [`Need::unavailable`].
    Refuse(Stream, Need),
}

/// What one entry into the VM may still do.
#[derive(Debug)]
pub struct Portion {
    decisions: usize,
    refusals: usize,
    gone: usize,
    /// Nobody is late any more.
    none_late: bool,
}

impl Default for Portion {
    fn default() -> Self {
        Self {
            decisions: DECISIONS,
            refusals: REFUSALS,
            gone: GONE,
            none_late: false,
        }
    }
}

impl Portion {
    /// The stream whose turn it was is gone: it takes the room of nobody who is still there.
    pub fn was_gone(&mut self, turn: &Turn) {
        let room = match turn {
            Turn::Decide(_) => &mut self.decisions,
            Turn::Refuse(..) => &mut self.refusals,
        };
        if let Some(left) = self.gone.checked_sub(1) {
            self.gone = left;
            *room = room.saturating_add(1);
        }
    }
}

/// All paused streams of a VM.
#[derive(Debug)]
pub struct Waiting {
    queues: HashMap<Need, Queue, FixedState>,
    /// Whose answer is there, by what it answers.
    due: VecDeque<(Need, VecDeque<Stream>)>,
    /// Who waits for what cannot be had.
    lost: VecDeque<(Need, VecDeque<Stream>)>,
    /// How long a stream may wait, in milliseconds.
    hold: u64,
    /// How many wait.
    len: usize,
    /// When so many wait, those that have ended meanwhile are looked for.
    crowd: usize,
    /// More were late than there was room for.
    behind: bool,
}

/// Who waits for one thing.
#[derive(Debug, Default)]
struct Queue {
    /// The first to be late comes first.
    streams: VecDeque<Stream>,
    /// How many wait for it, with those whose turn has come.
    len: usize,
    /// When it was looked who is still there.
    looked_at: u64,
}

impl Waiting {
    /// Nobody waits yet; later nobody longer than `hold` milliseconds.
    pub fn new(hold: u64) -> Self {
        Self {
            queues: HashMap::default(),
            due: VecDeque::new(),
            lost: VecDeque::new(),
            hold,
            len: 0,
            crowd: CROWD,
            behind: false,
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it is somebody's turn already.
    pub fn in_arrears(&self) -> bool {
        self.behind || !self.due.is_empty() || !self.lost.is_empty()
    }

    /// A stream waits for this.
    pub fn put(&mut self, need: Need, stream: Stream) {
        let queue = self.queues.entry(need).or_default();
        // One that waits again is older than those who came meanwhile.
        let at = queue.streams.partition_point(|other| other.since <= stream.since);
        queue.streams.insert(at, stream);
        queue.len = queue.len.saturating_add(1);
        self.len = self.len.saturating_add(1);
    }

    /// Whether so many wait for this already that nobody else may. `is_there`: whether a stream has not ended; few
    /// questions are asked, however often it is full.
    pub fn is_full(&mut self, need: &Need, now: u64, is_there: impl FnMut(u32) -> bool) -> bool {
        let Some(queue) = self.queues.get_mut(need) else {
            return false;
        };
        if queue.len >= MOST && now >= queue.looked_at.saturating_add(BETWEEN_LOOKS) {
            queue.looked_at = now;
            let gone = queue.forget_gone(is_there);
            self.len = self.len.saturating_sub(gone);
        }
        queue.len >= MOST
    }

    /// Forgets streams that have ended while they waited, when twice as many wait as did the last time.
    pub fn forget_gone(&mut self, mut is_there: impl FnMut(u32) -> bool) {
        if self.len < self.crowd {
            return;
        }
        let gone: usize = self
            .queues
            .values_mut()
            .map(|queue| queue.forget_gone(&mut is_there))
            .sum();
        self.queues.retain(|_, queue| queue.len > 0);
        self.len = self.len.saturating_sub(gone);
        self.crowd = self.len.saturating_mul(2).max(CROWD);
    }

    /// The answer is there: those who wait for it are to be decided about.
    pub fn answered(&mut self, need: &Need) {
        let streams = self.called(need);
        self.due.extend(streams);
    }

    /// The same of everything of a kind.
    pub fn answered_all(&mut self, mut which: impl FnMut(&Need) -> bool) {
        let needs: Vec<_> = self.queues.keys().filter(|need| which(need)).cloned().collect();
        needs.iter().for_each(|need| self.answered(need));
    }

    /// It cannot be had: those who wait for it are to be refused.
    pub fn lost(&mut self, need: &Need) {
        let streams = self.called(need);
        self.lost.extend(streams);
    }

    fn called(&mut self, need: &Need) -> Option<(Need, VecDeque<Stream>)> {
        let streams = std::mem::take(&mut self.queues.get_mut(need)?.streams);
        (!streams.is_empty()).then(|| (need.clone(), streams))
    }

    /// Whose turn it is, as long as there is room; the stream does not wait any more.
    pub fn next(&mut self, portion: &mut Portion, now: u64) -> Option<Turn> {
        self.behind = portion.refusals == 0;
        if portion.refusals > 0 && !portion.none_late {
            if let Some((need, stream)) = first(&mut self.lost).or_else(|| self.late(now)) {
                portion.refusals = portion.refusals.saturating_sub(1);
                self.left(&need);
                return Some(Turn::Refuse(stream, need));
            }
            portion.none_late = true;
        }
        portion.decisions = portion.decisions.checked_sub(1)?;
        let (need, stream) = first(&mut self.due)?;
        self.left(&need);
        Some(Turn::Decide(stream))
    }

    /// Somebody who has waited for too long.
    fn late(&mut self, now: u64) -> Option<(Need, Stream)> {
        let is_late = |stream: &mut Stream| now > stream.since.saturating_add(self.hold);
        let mut queues = self.queues.iter_mut();
        queues.find_map(|(need, queue)| Some((need.clone(), queue.streams.pop_front_if(is_late)?)))
    }

    fn left(&mut self, need: &Need) {
        self.len = self.len.saturating_sub(1);
        if let Some(queue) = self.queues.get_mut(need) {
            queue.len = queue.len.saturating_sub(1);
            if queue.len == 0 {
                self.queues.remove(need);
            }
        }
    }
}

impl Queue {
    /// How many of them have ended.
    fn forget_gone(&mut self, mut is_there: impl FnMut(u32) -> bool) -> usize {
        let before = self.streams.len();
        self.streams.retain(|stream| is_there(stream.id));
        let gone = before.saturating_sub(self.streams.len());
        self.len = self.len.saturating_sub(gone);
        gone
    }
}

/// One stream; the next one is of another group, if there are several.
fn first(groups: &mut VecDeque<(Need, VecDeque<Stream>)>) -> Option<(Need, Stream)> {
    let (need, mut streams) = groups.pop_front()?;
    let stream = streams.pop_front()?;
    if !streams.is_empty() {
        groups.push_back((need.clone(), streams));
    }
    Some((need, stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: u64 = 5000;

    /// So many streams wait for this, which came a millisecond after one another.
    fn crowd(waiting: &mut Waiting, need: &Need, ids: std::ops::Range<u32>) {
        for id in ids {
            let since = u64::from(id);
            waiting.put(
                need.clone(),
                Stream {
                    id,
                    since,
                    decider: None,
                },
            );
        }
    }

    /// What one entry does: who is decided about, and who is refused.
    fn entry(waiting: &mut Waiting, now: u64, is_there: impl Fn(u32) -> bool) -> (Vec<u32>, Vec<u32>) {
        let (mut decided, mut refused) = (Vec::new(), Vec::new());
        let mut portion = Portion::default();
        while let Some(turn) = waiting.next(&mut portion, now) {
            let (list, id) = match &turn {
                Turn::Decide(stream) => (&mut decided, stream.id),
                Turn::Refuse(stream, _) => (&mut refused, stream.id),
            };
            if is_there(id) {
                list.push(id);
            } else {
                portion.was_gone(&turn);
            }
        }
        (decided, refused)
    }

    fn needs() -> [Need; 3] {
        [Need::Snapshots, Need::Keys(0), Need::Authorities("u1".into())]
    }

    #[test]
    fn nobody_is_decided_about_before_the_answer_and_then_few_at_a_time() {
        for need in needs() {
            let mut waiting = Waiting::new(HOLD);
            crowd(&mut waiting, &need, 0..500);
            crowd(&mut waiting, &Need::Keys(7), 500..510);
            for now in 0..HOLD {
                assert_eq!(entry(&mut waiting, now, |_| true), (vec![], vec![]), "{need:?}");
                assert!(!waiting.in_arrears());
            }
            waiting.answered(&need);
            let mut all = Vec::new();
            while waiting.in_arrears() {
                let (decided, refused) = entry(&mut waiting, HOLD, |_| true);
                assert!(
                    (1..=8).contains(&decided.len()) && refused.is_empty(),
                    "{decided:?} {refused:?}"
                );
                all.extend(decided);
            }
            assert_eq!(all, (0..500).collect::<Vec<_>>(), "in the order in which they came");
            assert!(!waiting.is_empty(), "the others' answer is not there");
        }
    }

    #[test]
    fn who_has_waited_too_long_is_refused_beside_the_decisions_and_many_at_a_time() {
        for need in needs() {
            let mut waiting = Waiting::new(HOLD);
            crowd(&mut waiting, &need, 0..500);
            crowd(&mut waiting, &Need::Keys(7), 5000..5100);
            assert_eq!(entry(&mut waiting, HOLD + 2, |_| true).1, [0, 1]);
            waiting.answered(&Need::Keys(7));
            let mut entries = Vec::new();
            while waiting.in_arrears() || entries.is_empty() {
                entries.push(entry(&mut waiting, HOLD + 2000, |_| true));
            }
            let refused: Vec<_> = entries.iter().flat_map(|(_, refused)| refused).copied().collect();
            assert_eq!(refused, (2..500).collect::<Vec<_>>(), "{need:?}");
            for (decided, refused) in &entries {
                assert!(decided.len() <= 8 && refused.len() <= 64, "{decided:?} {refused:?}");
            }
            assert_eq!(
                entries[0].0.len(),
                8,
                "late ones take nothing of those whose answer is there"
            );
            assert!(waiting.is_empty());
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused_in_portions() {
        let mut waiting = Waiting::new(HOLD);
        let [snapshots, keys, _] = needs();
        crowd(&mut waiting, &keys, 0..500);
        crowd(&mut waiting, &snapshots, 500..520);
        waiting.lost(&keys);
        let mut refused = 0;
        while waiting.in_arrears() {
            let (decided, now) = entry(&mut waiting, 0, |_| true);
            assert!(decided.is_empty() && now.len() <= 64);
            refused += now.len();
        }
        assert_eq!(refused, 500);
        assert!(!waiting.is_empty());
    }

    #[test]
    fn one_that_waits_again_is_as_late_as_before() {
        let mut waiting = Waiting::new(HOLD);
        let need = Need::Keys(0);
        crowd(&mut waiting, &need, 0..1);
        waiting.answered(&need);
        assert_eq!(entry(&mut waiting, 1000, |_| true).0, [0]);
        crowd(&mut waiting, &need, 900..905);
        crowd(&mut waiting, &need, 0..1);
        assert_eq!(entry(&mut waiting, HOLD + 1, |_| true), (vec![], vec![0]));
    }

    #[test]
    fn only_so_many_wait_for_one_thing_and_those_who_left_take_no_room() {
        for need in needs() {
            let mut waiting = Waiting::new(HOLD);
            let mut asked = 0;
            for id in 0..512 {
                assert!(!waiting.is_full(&need, 0, |_| panic!("nobody needs to look")));
                crowd(&mut waiting, &need, id..id + 1);
            }
            // Nobody has left, and it is not looked again for every request.
            for now in 100..110 {
                let full = waiting.is_full(&need, now, |_| {
                    asked += 1;
                    true
                });
                assert!(full);
            }
            assert_eq!(asked, 512);
            assert!(
                !waiting.is_full(&Need::Keys(7), 0, |_| true),
                "others have room of their own"
            );
            waiting.answered(&need);
            assert_eq!(entry(&mut waiting, 0, |_| true).0.len(), 8);
            assert!(!waiting.is_full(&need, 200, |_| true));
            crowd(&mut waiting, &need, 512..520);
            assert!(
                waiting.is_full(&need, 200, |_| true),
                "those whose turn is to come count too"
            );
            let mut waiting = Waiting::new(HOLD);
            crowd(&mut waiting, &need, 0..512);
            assert!(!waiting.is_full(&need, 100, |id| id % 2 == 0));
        }
    }

    #[test]
    fn who_is_gone_takes_no_turn_of_others() {
        let mut waiting = Waiting::new(HOLD);
        let need = Need::Snapshots;
        crowd(&mut waiting, &need, 0..500);
        waiting.answered(&need);
        let (decided, _) = entry(&mut waiting, 0, |id| id >= 490);
        assert_eq!(decided, (490..498).collect::<Vec<_>>());
        crowd(&mut waiting, &need, 1000..1500);
        let (_, refused) = entry(&mut waiting, 1_000_000, |id| id >= 1490);
        assert_eq!(refused, (1490..1500).collect::<Vec<_>>());
        assert!(waiting.is_empty());
    }

    #[test]
    fn those_who_left_are_forgotten_before_many_are_kept() {
        let mut waiting = Waiting::new(HOLD);
        for user in 0..10_000 {
            waiting.forget_gone(|id| id == 3);
            let need = Need::Authorities(user.to_string());
            crowd(&mut waiting, &need, user..user + 1);
            assert!(waiting.len <= CROWD && waiting.queues.len() <= CROWD);
        }
        assert_eq!(entry(&mut waiting, u64::MAX, |id| id == 3).1, [3]);
    }
}
