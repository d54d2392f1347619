//! connection.tune and what a client may answer to it.

use super::settings::{FRAME_MIN_BYTES, Limits};
use crate::amqp::method::connection::{Tune, TuneOk};

/// Fewest channels that a client may ask for.
const CHANNEL_MIN: u32 = 1;

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tuned {
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat_s: u16,
}

/// What we propose.
pub(super) fn proposal(limits: &Limits) -> Tune {
    Tune {
        channel_max: limits.channel_max,
        frame_max: limits.frame_max,
        heartbeat: limits.heartbeat_s,
    }
}

/// What the client's answer agrees on, or RabbitMQ's text (for the log only) on why it does not.
/// The heartbeat is as the client says.
pub(super) fn agree(limits: &Limits, answer: TuneOk) -> Result<Tuned, String> {
    within(
        "frame_max",
        FRAME_MIN_BYTES,
        limits.frame_max,
        answer.frame_max,
    )?;
    within(
        "channel_max",
        CHANNEL_MIN,
        limits.channel_max.into(),
        answer.channel_max.into(),
    )?;
    Ok(Tuned {
        channel_max: answer.channel_max,
        frame_max: answer.frame_max,
        heartbeat_s: answer.heartbeat,
    })
}

/// 0 is no limit, on either side.
fn within(what: &str, min: u32, max: u32, value: u32) -> Result<(), String> {
    let (relation, bound, limit) = if value != 0 && value < min {
        ("lower", "minimum", min)
    } else if max != 0 && (value == 0 || value > max) {
        ("higher", "maximum", max)
    } else {
        return Ok(());
    };
    let detail = if what == "channel_max" && value == 0 {
        " (no limit)"
    } else {
        ""
    };
    Err(format!(
        "negotiated {what} = {value}{detail} is {relation} than the {bound} allowed value ({limit})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(channel_max: u16, frame_max: u32) -> Result<Tuned, String> {
        let heartbeat = 7;
        let answer = TuneOk {
            channel_max,
            frame_max,
            heartbeat,
        };
        agree(&Limits::default(), answer)
    }

    #[test]
    fn what_is_within_the_proposal_is_taken_as_it_is() {
        for (channel_max, frame_max) in [(2047, 131_072), (1, 4096)] {
            let tuned = Tuned {
                channel_max,
                frame_max,
                heartbeat_s: 7,
            };
            assert_eq!(answer(channel_max, frame_max), Ok(tuned));
        }
    }

    #[test]
    fn what_is_not_is_refused_in_rabbitmqs_words() {
        let refused = [
            (
                answer(2048, 4096),
                "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)",
            ),
            (
                answer(0, 4096),
                "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
            ),
            (
                answer(1, 4095),
                "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)",
            ),
            (
                answer(1, 0),
                "negotiated frame_max = 0 is higher than the maximum allowed value (131072)",
            ),
        ];
        for (got, expected) in refused {
            assert_eq!(got, Err(expected.to_string()));
        }
    }

    #[test]
    fn no_limit_on_our_side_allows_everything() {
        let limits = Limits {
            channel_max: 0,
            frame_max: 0,
            ..Limits::default()
        };
        assert!(agree(&limits, TuneOk::default()).is_ok());
    }
}
