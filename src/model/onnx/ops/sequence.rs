//! Recurrent networks.

use super::call::Call;
use super::fact::Fact;

impl Call<'_> {
    pub fn recurrent(&self) -> Option<Vec<Fact>> {
        let x = self.input(0)?;
        if x.rank()? != 3 {
            return None;
        }
        let batch_first = self.attrs.flag("layout");
        let (seq, batch) = if batch_first {
            (x.dim(1), x.dim(0))
        } else {
            (x.dim(0), x.dim(1))
        };
        let dirs = Some(if self.attrs.text("direction") == Some("bidirectional") {
            2
        } else {
            1
        });
        let hidden = match self.attrs.int("hidden_size") {
            Some(h) => u64::try_from(h).ok(),
            None => self.input(2).and_then(|r| r.dim(2)),
        };
        let (all, last) = if batch_first {
            (vec![batch, seq, dirs, hidden], vec![batch, dirs, hidden])
        } else {
            (vec![seq, dirs, batch, hidden], vec![dirs, batch, hidden])
        };
        let last = Fact::new(x.dtype, Some(last));
        Some(vec![Fact::new(x.dtype, Some(all)), last.clone(), last])
    }
}
