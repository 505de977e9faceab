//! Left-overs that were removed, counted together: a target that comes back may have hundreds, and one event tells of
//! all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long to wait for more before it is told.
const TOGETHER: Duration = Duration::from_secs(5);

/// Left-overs of one target.
#[derive(Debug, Default)]
pub struct LeftOvers(Arc<AtomicUsize>);

impl LeftOvers {
    /// One more was removed. After a while `tell` is called with their number, once for all of that while.
    pub fn add(&self, tell: impl FnOnce(usize) + Send + 'static) {
        if self.0.fetch_add(1, Ordering::SeqCst) > 0 {
            return;
        }
        let count = self.0.clone();
        tokio::spawn(async move {
            tokio::time::sleep(TOGETHER).await;
            tell(count.swap(0, Ordering::SeqCst));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_together_is_told_together() {
        let (told, all) = (Arc::new(parking_lot::Mutex::new(vec![])), LeftOvers::default());
        let add = || {
            let told = told.clone();
            all.add(move |count| told.lock().push(count));
        };
        (0..300).for_each(|_| add());
        tokio::time::sleep(TOGETHER * 2).await;
        add();
        tokio::time::sleep(TOGETHER * 2).await;
        assert_eq!(*told.lock(), [300, 1]);
    }
}
