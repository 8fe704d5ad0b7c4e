//! A value with the key it was made from.

use std::ops::Deref;

/// Keeps the newest value of a computation until its inputs, the key, change. Reads as the value.
#[derive(Clone, Debug, Default)]
pub struct Memo<K, V> {
    key: Option<K>,
    value: V,
}

impl<K: PartialEq, V> Memo<K, V> {
    /// Makes the value anew where the key is another than last time.
    pub fn update(&mut self, key: K, make: impl FnOnce() -> V) {
        if self.key.as_ref() != Some(&key) {
            self.value = make();
            self.key = Some(key);
        }
    }

    /// Makes the value anew at the next update, whatever its key is.
    pub fn forget(&mut self) {
        self.key = None;
    }
}

impl<K, V> Deref for Memo<K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::Memo;

    #[test]
    fn a_value_is_made_once_per_key() {
        let mut memo = Memo::<i32, i32>::default();
        let mut made = 0;
        for key in [1, 1, 2] {
            memo.update(key, || {
                made += 1;
                key * 10
            });
        }
        assert_eq!((*memo, made), (20, 2));
        memo.forget();
        memo.update(2, || 21);
        assert_eq!(*memo, 21);
    }
}
