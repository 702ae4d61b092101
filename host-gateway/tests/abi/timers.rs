//! Ticks.

use std::rc::Rc;
use std::time::Duration;

use postern_gateway::plugin::Plugins;
use tokio::time::Instant;

use crate::harness::*;

/// Traces each tick; the period is set when it is configured and again at the third tick.
fn ticking(first: u32, then: u32) -> Vec<u8> {
    guest(&format!(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $set_tick_period_milliseconds (i32.const {first}))) (i32.const 1))
           (func (export "proxy_on_tick") (param $root i32)
             (call $trace (i32.add (i32.const 48) (local.get $root)))
             (if (i32.eq (i32.load (i32.const 2900)) (i32.const 3))
               (then (drop (call $set_tick_period_milliseconds (i32.const {then}))))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $show_trace) (i32.const 0))"#
    ))
}

/// What was traced once there were so many ticks.
async fn ticks(plugins: &Rc<Plugins>, wanted: usize) -> String {
    until(async || Some(trace(plugins).await).filter(|ticks| ticks.len() >= wanted)).await
}

#[test]
fn ticks_never_come_sooner_than_their_period() {
    on_a_worker(async {
        let began = Instant::now();
        let plugins = plugin(&ticking(20, 20));
        let ticks = ticks(&plugins, 4).await.len();
        let most = began.elapsed().as_millis() / 20;
        assert!(ticks as u128 <= most, "{ticks} ticks in the time for {most}");
    });
}

#[test]
fn a_period_of_zero_ends_them() {
    on_a_worker(async {
        let plugins = plugin(&ticking(5, 0));
        ticks(&plugins, 3).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(trace(&plugins).await, "111");
    });
}

#[test]
fn another_period_replaces_the_one_before() {
    on_a_worker(async {
        let plugins = plugin(&ticking(5, 3_600_000));
        ticks(&plugins, 3).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(trace(&plugins).await, "111");
    });
}

/// Sets another period at each request.
const RESTLESS: &str = r#"
  (global $period (mut i32) (i32.const 20))
  (func (export "proxy_on_tick") (param i32) (call $trace (i32.const 116)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (global.set $period (i32.xor (global.get $period) (i32.const 1)))
    (drop (call $set_tick_period_milliseconds (global.get $period)))
    (call $show_trace) (i32.const 0))"#;

#[test]
fn who_sets_a_period_again_and_again_is_ticked_all_the_same() {
    on_a_worker(async {
        let plugins = plugin(&guest(RESTLESS));
        let mut ticks = String::new();
        for _ in 0..60 {
            ticks = trace(&plugins).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        assert!(ticks.len() >= 2, "{ticks}");
    });
}

#[test]
fn who_sets_a_period_again_and_again_fills_no_memory() {
    on_a_worker(async {
        // Some 49 days.
        let plugins = plugin(&guest(&RESTLESS.replace("(i32.const 20)", "(i32.const -2)")));
        for _ in 0..100 {
            trace(&plugins).await;
        }
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert!(tasks < 10, "{tasks} tasks");
    });
}
