;; A guest that refuses `/refuse`, closes the stream of `/close`, and puts `!` behind everything that passes.
(module
  (import "env" "proxy_get_header_map_value"
    (func $get_header (param $map i32) (param $key i32) (param $key_size i32) (param $value i32) (param $value_size i32)
      (result i32)))
  (import "env" "proxy_add_header_map_value"
    (func $add_header (param $map i32) (param $key i32) (param $key_size i32) (param $value i32) (param $value_size i32)
      (result i32)))
  (import "env" "proxy_set_buffer_bytes"
    (func $set_buffer (param $buffer i32) (param $start i32) (param $size i32) (param $bytes i32) (param $bytes_size i32)
      (result i32)))
  (import "env" "proxy_send_local_response"
    (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param $stream i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) ":path")
  (data (i32.const 32) "x-end")
  (data (i32.const 48) "01")
  (data (i32.const 64) "!")
  ;; What the host hands over begins on the second page.
  (global $free (mut i32) (i32.const 65536))

  (func (export "proxy_abi_version_0_2_1"))

  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (if (i32.gt_u (i32.add (global.get $free) (local.get $size)) (i32.const 131072))
      (then (global.set $free (i32.const 65536))))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))

  (func (export "proxy_on_context_create") (param $context i32) (param $parent i32))
  (func (export "proxy_on_vm_start") (param $context i32) (param $size i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32) (i32.const 1))

  ;; A field with the flag that says whether the head is all.
  (func $mark (param $map i32) (param $end i32)
    (drop (call $add_header (local.get $map) (i32.const 32) (i32.const 5)
      (i32.add (i32.const 48) (local.get $end)) (i32.const 1))))

  ;; Buffers 0 and 1 are the two bodies.
  (func $append (param $buffer i32)
    (drop (call $set_buffer (local.get $buffer) (i32.const 0x7fffffff) (i32.const 0) (i32.const 64) (i32.const 1))))

  ;; The paths differ in length. Action 0: continue, 1: pause.
  (func (export "proxy_on_request_headers") (param $context i32) (param $count i32) (param $end i32) (result i32)
    (drop (call $get_header (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 0) (i32.const 4)))
    (if (i32.eq (i32.load (i32.const 4)) (i32.const 6)) (then
      (drop (call $close (i32.const 0)))
      (return (i32.const 1))))
    (if (i32.eq (i32.load (i32.const 4)) (i32.const 7)) (then
      (drop (call $respond (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 1)
        (i32.const 0) (i32.const 0) (i32.const -1)))
      (return (i32.const 1))))
    (call $mark (i32.const 0) (local.get $end))
    (i32.const 0))

  (func (export "proxy_on_response_headers") (param $context i32) (param $count i32) (param $end i32) (result i32)
    (call $mark (i32.const 2) (local.get $end))
    (i32.const 0))

  (func (export "proxy_on_request_body") (param $context i32) (param $size i32) (param $end i32) (result i32)
    (if (local.get $size) (then (call $append (i32.const 0))))
    (i32.const 0))

  (func (export "proxy_on_response_body") (param $context i32) (param $size i32) (param $end i32) (result i32)
    (if (local.get $size) (then (call $append (i32.const 1))))
    (i32.const 0)))
