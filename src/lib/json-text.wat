(module
  ;; 256 escapes of 8 bytes (up to 6 of text, the last is the length) from address 0, then input and output, and
  ;; room for whoever else writes records; see json-text.ts, which fills the table.
  (memory (export "memory") 25)
  ;; Writes the bytes from $at to $end as the inside of a JSON string to $out, and up to 16 bytes behind it. Gives the
  ;; end of what it wrote, or that with all bits turned over if there were bytes beyond ASCII.
  (func (export "escape") (param $at i32) (param $end i32) (param $out i32) (result i32)
    (local $last i32) (local $bytes v128) (local $escapes i32) (local $high i32) (local $byte i32)
    (local.set $last (i32.sub (local.get $end) (i32.const 16)))
    (block $done
      (loop $next
        (block $one
          (br_if $one (i32.gt_s (local.get $at) (local.get $last)))
          (local.set $bytes (v128.load (local.get $at)))
          (v128.store (local.get $out) (local.get $bytes))
          (local.set $high (i32.or (local.get $high) (i8x16.bitmask (local.get $bytes))))
          (local.set $escapes (i8x16.bitmask (v128.or
            (i8x16.lt_u (local.get $bytes) (i8x16.splat (i32.const 0x20)))
            (v128.or
              (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x22)))
              (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x5c)))))))
          (if (i32.eqz (local.get $escapes))
            (then
              (local.set $at (i32.add (local.get $at) (i32.const 16)))
              (local.set $out (i32.add (local.get $out) (i32.const 16)))
              (br $next)))
          (local.set $at (i32.add (local.get $at) (i32.ctz (local.get $escapes))))
          (local.set $out (i32.add (local.get $out) (i32.ctz (local.get $escapes)))))
        (br_if $done (i32.ge_s (local.get $at) (local.get $end)))
        (local.set $byte (i32.load8_u (local.get $at)))
        (local.set $high (i32.or (local.get $high) (i32.and (local.get $byte) (i32.const 0x80))))
        (local.set $byte (i32.shl (local.get $byte) (i32.const 3)))
        (i64.store (local.get $out) (i64.load (local.get $byte)))
        (local.set $out (i32.add (local.get $out) (i32.load8_u offset=7 (local.get $byte))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (if (result i32) (local.get $high)
      (then (i32.xor (local.get $out) (i32.const -1)))
      (else (local.get $out)))))
