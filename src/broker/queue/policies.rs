//! What a change of policies does to a queue: its settings are other ones from now on, and what is
//! beyond them goes at once, and so do dead letters that are not to stay any more. No message is lost
//! otherwise.

use std::sync::Arc;

use super::{Queue, QueueArguments};
use crate::broker::Effects;
use crate::broker::policy::Applied;

impl Queue {
    /// The policies that apply to it, now.
    pub fn policies(&self) -> Applied {
        self.state.lock().policies.clone()
    }

    /// These policies apply to it as of that version of the vhost's. What comes late, after a newer
    /// version, is ignored. Says whether they are other ones than before.
    pub fn apply_policies(
        self: &Arc<Self>,
        policies: Applied,
        version: u64,
        effects: &mut Effects,
    ) -> bool {
        let mut state = self.state.lock();
        if self.is_deleted() || state.policies_version >= version {
            return false;
        }
        state.policies_version = version;
        if state.policies == policies {
            return false;
        }
        let settings = policies.settings();
        let (queue, vhost) = (self.name(), &self.spec.vhost_name);
        let own = QueueArguments::parse(self.arguments(), queue, vhost);
        let wants = own.and_then(|own| own.under(&settings, self.arguments(), queue, vhost));
        let wants = match wants {
            Ok(wants) => wants,
            Err(error) => {
                tracing::error!(?queue, ?vhost, %error, "a policy makes no sense to a queue");
                return false;
            }
        };
        let now_ms = self.spec.engine.clock.now_ms();
        if wants.expires_ms != state.wants.expires_ms {
            // It is not to go before it was unused for so long under the new policy.
            state.used_at_ms = now_ms;
        }
        if let Some(stream) = &mut state.stream {
            stream.apply(&wants.stream);
        }
        let begins_to_count =
            wants.max_length_bytes.is_some() && state.wants.max_length_bytes.is_none();
        state.wants = wants;
        state.policies = policies;
        if begins_to_count {
            self.begin_to_count(&mut state);
        }
        match self.keeps_letters(&state) {
            true => self.hurry_letters(&mut state),
            false => self.drop_letters(&mut state, effects),
        }
        self.retain(&mut state, effects);
        self.drop_over_length(&mut state, effects);
        self.drop_expired(&mut state, now_ms, effects);
        self.run(&mut state, effects);
        true
    }
}
