//! Images per second from beats: pairs of a moment (ns, monotonic clock) and the iterations completed
//! by then.

/// Images per second over equal slices of one engine's beats.
pub(super) fn slices(beats: &[(u64, u64)], slices: u32, batch: u32) -> Vec<f64> {
    let (Some(first), Some(last)) = (beats.first(), beats.last()) else {
        return Vec::new();
    };
    between(beats, first.0, last.0, slices, batch)
}

/// Images per second of one engine over equal slices of `start` to `end`.
pub(super) fn between(
    beats: &[(u64, u64)],
    start: u64,
    end: u64,
    slices: u32,
    batch: u32,
) -> Vec<f64> {
    let edge = |i: u32| start as f64 + (end - start) as f64 * f64::from(i) / f64::from(slices);
    (0..slices)
        .map(|i| {
            let (a, b) = (edge(i), edge(i + 1));
            (count_at(beats, b) - count_at(beats, a)) / ((b - a) / 1e9) * f64::from(batch)
        })
        .collect()
}

/// Iterations completed by a moment, between beats on a straight line.
fn count_at(beats: &[(u64, u64)], at: f64) -> f64 {
    let after = beats.partition_point(|(t, _)| (*t as f64) <= at);
    let (Some(b), Some(a)) = (
        beats.get(after),
        after.checked_sub(1).and_then(|i| beats.get(i)),
    ) else {
        let edge = if after == 0 {
            beats.first()
        } else {
            beats.last()
        };
        return edge.map_or(0.0, |(_, n)| *n as f64);
    };
    let part = (at - a.0 as f64) / (b.0 - a.0).max(1) as f64;
    a.1 as f64 + (b.1 - a.1) as f64 * part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_interpolated() {
        let beats = [(100, 0), (200, 10), (400, 20)];
        assert_eq!(count_at(&beats, 150.0), 5.0);
        assert_eq!(count_at(&beats, 300.0), 15.0);
        assert_eq!(count_at(&beats, 50.0), 0.0);
        assert_eq!(count_at(&beats, 400.0), 20.0);
        assert_eq!(count_at(&[], 1.0), 0.0);
    }
}
