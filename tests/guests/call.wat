;; A guest that calls the cluster which the path names (`/name`), and answers with what it is told of the call: how many
;; headers, bytes of the body and trailers, the code of the call's status (four digits each) and its message, the headers
;; as pairs, the body. Where it cannot call: the status of that.
(module
  (import "env" "proxy_get_header_map_value"
    (func $get_header (param $map i32) (param $key i32) (param $key_size i32) (param $value i32) (param $value_size i32)
      (result i32)))
  (import "env" "proxy_get_header_map_pairs"
    (func $get_pairs (param $map i32) (param $pairs i32) (param $pairs_size i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes"
    (func $get_buffer (param $buffer i32) (param $start i32) (param $max i32) (param $bytes i32) (param $bytes_size i32)
      (result i32)))
  (import "env" "proxy_get_status"
    (func $get_status (param $code i32) (param $message i32) (param $message_size i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $turn_to (param $context i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) ":path")
  ;; :method GET, :path /, :authority a
  (data (i32.const 256) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00")
  (data (i32.const 284) ":method\00GET\00:path\00/\00:authority\00a\00")
  ;; What the host hands over begins on the second page.
  (global $free (mut i32) (i32.const 65536))
  (global $stream (mut i32) (i32.const 0))
  ;; The answer grows here.
  (global $end (mut i32) (i32.const 1024))

  (func (export "proxy_abi_version_0_2_1"))

  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (if (i32.gt_u (i32.add (global.get $free) (local.get $size)) (i32.const 131072))
      (then (global.set $free (i32.const 65536))))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))

  (func (export "proxy_on_context_create") (param $context i32) (param $parent i32))
  (func (export "proxy_on_vm_start") (param $context i32) (param $size i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32) (i32.const 1))

  ;; A number in four digits.
  (func $number (param $number i32)
    (local $place i32)
    (local.set $place (i32.const 4))
    (loop $next
      (local.set $place (i32.sub (local.get $place) (i32.const 1)))
      (i32.store8 (i32.add (global.get $end) (local.get $place))
        (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
      (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
      (br_if $next (local.get $place)))
    (global.set $end (i32.add (global.get $end) (i32.const 4))))

  ;; What was handed over: its address and size stand at 0 and 4.
  (func $bytes
    (memory.copy (global.get $end) (i32.load (i32.const 0)) (i32.load (i32.const 4)))
    (global.set $end (i32.add (global.get $end) (i32.load (i32.const 4))))
    (i32.store (i32.const 4) (i32.const 0)))

  (func $answer
    (drop (call $turn_to (global.get $stream)))
    (drop (call $respond (i32.const 200) (i32.const 0) (i32.const 0)
      (i32.const 1024) (i32.sub (global.get $end) (i32.const 1024)) (i32.const 0) (i32.const 0) (i32.const -1))))

  (func (export "proxy_on_request_headers") (param $context i32) (param $count i32) (param $end i32) (result i32)
    (local $status i32)
    (global.set $stream (local.get $context))
    (global.set $end (i32.const 1024))
    (drop (call $get_header (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 0) (i32.const 4)))
    (local.set $status (call $call
      (i32.add (i32.load (i32.const 0)) (i32.const 1)) (i32.sub (i32.load (i32.const 4)) (i32.const 1))
      (i32.const 256) (i32.const 61) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 1000) (i32.const 8)))
    (if (local.get $status) (then
      (call $number (local.get $status))
      (call $answer)))
    (i32.const 1))

  (func (export "proxy_on_http_call_response")
    (param $root i32) (param $call i32) (param $headers i32) (param $body i32) (param $trailers i32)
    (call $number (local.get $headers))
    (call $number (local.get $body))
    (call $number (local.get $trailers))
    (drop (call $get_status (i32.const 12) (i32.const 0) (i32.const 4)))
    (call $number (i32.load (i32.const 12)))
    (call $bytes)
    (drop (call $get_pairs (i32.const 6) (i32.const 0) (i32.const 4)))
    (call $bytes)
    (drop (call $get_buffer (i32.const 4) (i32.const 0) (i32.const 0x7fffffff) (i32.const 0) (i32.const 4)))
    (call $bytes)
    (call $answer)))
