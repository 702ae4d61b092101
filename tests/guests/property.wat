;; A guest that reads the property whose path stands in `x-path`, its segments separated by `/`, once with the request and
;; once with the response, and adds to the response: `x-early` and `x-late`, the status in one digit and what it read in
;; hexadecimal digits.
(module
  (import "env" "proxy_get_header_map_value"
    (func $get_header (param $map i32) (param $key i32) (param $key_size i32) (param $value i32) (param $value_size i32)
      (result i32)))
  (import "env" "proxy_add_header_map_value"
    (func $add_header (param $map i32) (param $key i32) (param $key_size i32) (param $value i32) (param $value_size i32)
      (result i32)))
  (import "env" "proxy_get_property"
    (func $get_property (param $path i32) (param $path_size i32) (param $value i32) (param $value_size i32) (result i32)))
  (memory (export "memory") 3)
  (data (i32.const 16) "x-path")
  (data (i32.const 32) "x-early")
  (data (i32.const 48) "x-late")
  (data (i32.const 64) "0123456789abcdef")
  ;; The path stands at 1024, what was read early at 4096, late at 16384; what the host hands over begins on the second page.
  (global $free (mut i32) (i32.const 65536))
  (global $path_size (mut i32) (i32.const 0))
  (global $early_size (mut i32) (i32.const 0))

  (func (export "proxy_abi_version_0_2_1"))

  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (if (i32.gt_u (i32.add (global.get $free) (local.get $size)) (i32.const 196608))
      (then (global.set $free (i32.const 65536))))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))

  (func (export "proxy_on_context_create") (param $context i32) (param $parent i32))
  (func (export "proxy_on_vm_start") (param $context i32) (param $size i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32) (i32.const 1))

  ;; What is read is written to a place; its size.
  (func $read (param $to i32) (result i32)
    (local $at i32)
    (local $end i32)
    (local $out i32)
    (i32.store (i32.const 4) (i32.const 0))
    (i32.store8 (local.get $to) (i32.add (i32.const 48)
      (call $get_property (i32.const 1024) (global.get $path_size) (i32.const 0) (i32.const 4))))
    (local.set $out (i32.add (local.get $to) (i32.const 1)))
    (local.set $at (i32.load (i32.const 0)))
    (local.set $end (i32.add (local.get $at) (i32.load (i32.const 4))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (i32.store8 (local.get $out)
          (i32.load8_u (i32.add (i32.const 64) (i32.shr_u (i32.load8_u (local.get $at)) (i32.const 4)))))
        (i32.store8 (i32.add (local.get $out) (i32.const 1))
          (i32.load8_u (i32.add (i32.const 64) (i32.and (i32.load8_u (local.get $at)) (i32.const 15)))))
        (local.set $out (i32.add (local.get $out) (i32.const 2)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.sub (local.get $out) (local.get $to)))

  (func (export "proxy_on_request_headers") (param $context i32) (param $count i32) (param $end i32) (result i32)
    (local $at i32)
    (drop (call $get_header (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 0) (i32.const 4)))
    (global.set $path_size (i32.load (i32.const 4)))
    (memory.copy (i32.const 1024) (i32.load (i32.const 0)) (global.get $path_size))
    (local.set $at (i32.const 1024))
    (loop $next
      (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 47))
        (then (i32.store8 (local.get $at) (i32.const 0))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (i32.add (i32.const 1024) (global.get $path_size)))))
    (global.set $early_size (call $read (i32.const 4096)))
    (i32.const 0))

  (func (export "proxy_on_response_headers") (param $context i32) (param $count i32) (param $end i32) (result i32)
    (local $late_size i32)
    (local.set $late_size (call $read (i32.const 16384)))
    (drop (call $add_header (i32.const 2) (i32.const 32) (i32.const 7) (i32.const 4096) (global.get $early_size)))
    (drop (call $add_header (i32.const 2) (i32.const 48) (i32.const 6) (i32.const 16384) (local.get $late_size)))
    (i32.const 0)))
