//! Clocks and timers.

use std::time::Duration;

use super::Order;
use super::failure::Answer;
use crate::clock;
use crate::vm::memory::Host;

/// `proxy_get_current_time_nanoseconds(*time)`.
pub(crate) fn get_current_time_nanoseconds(host: &mut Host<'_>, time_out: u32) -> Answer {
    host.write_u64(time_out, nanoseconds(clock::now()))
}

/// `proxy_set_tick_period_milliseconds(period)`: zero stops the ticks. They belong to the root context of this VM,
/// whatever context is in effect.
pub(crate) fn set_tick_period_milliseconds(host: &mut Host<'_>, period: u32) -> Answer {
    let period = (period > 0).then_some(period);
    let root = host.state().root;
    let orders = &mut host.state_mut().orders;
    // The last one counts; a guest that sets it in a loop must not fill the host's memory.
    let earlier = orders.iter_mut().rev().find_map(|order| match order {
        Order::TickPeriod { root: of, period } if *of == root => Some(period),
        _ => None,
    });
    match earlier {
        Some(earlier) => *earlier = period,
        None => orders.push(Order::TickPeriod { root, period }),
    }
    Ok(())
}

/// As the ABI counts; enough until the year 2554.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
