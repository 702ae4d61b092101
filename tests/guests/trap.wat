;; A guest that lets every request pass, but traps on one with the header `x-trap`.
(module
  (import "env" "proxy_get_header_map_value"
    (func $get_header (param $map i32) (param $key i32) (param $key_size i32) (param $value i32) (param $value_size i32)
      (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "x-trap")
  ;; What the host hands over begins on the second page.
  (global $free (mut i32) (i32.const 65536))

  (func (export "proxy_abi_version_0_2_1"))

  ;; One page is plenty for one header; it is used again and again.
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (if (i32.gt_u (i32.add (global.get $free) (local.get $size)) (i32.const 131072))
      (then (global.set $free (i32.const 65536))))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))

  (func (export "proxy_on_context_create") (param $context i32) (param $parent i32))
  (func (export "proxy_on_vm_start") (param $context i32) (param $size i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32) (i32.const 1))

  ;; Map 0: the request's headers. Status 0: it is there. Action 0: continue.
  (func (export "proxy_on_request_headers") (param $context i32) (param $count i32) (param $end i32) (result i32)
    (if (i32.eqz (call $get_header (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 0) (i32.const 4)))
      (then (unreachable)))
    (i32.const 0)))
