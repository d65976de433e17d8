(module
  ;; 16 tables of 256 checksums (16 KiB) from address 0, then the bytes; see crc32c.ts, which fills both.
  (memory (export "memory") 3)
  (func (export "update") (param $crc i32) (param $at i32) (param $length i32) (result i32)
    (local $end i32) (local $x i64) (local $y i64)
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $length) (i32.const -16))))
    (block $done
      (loop $sixteen
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $x (i64.xor (i64.extend_i32_u (local.get $crc)) (i64.load (local.get $at))))
        (local.set $y (i64.load offset=8 (local.get $at)))
        (local.set $crc
          (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.xor (i32.load offset=15360 (i32.shl (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 255)) (i32.const 2)))
          (i32.load offset=14336 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 8))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=13312 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 16))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=12288 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 24))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=11264 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 32))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=10240 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 40))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=9216 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 48))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=8192 (i32.shl (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 56))) (i32.const 2))))
          (i32.load offset=7168 (i32.shl (i32.and (i32.wrap_i64 (local.get $y)) (i32.const 255)) (i32.const 2))))
          (i32.load offset=6144 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 8))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=5120 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 16))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=4096 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 24))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=3072 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 32))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=2048 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 40))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=1024 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 48))) (i32.const 255)) (i32.const 2))))
          (i32.load offset=0 (i32.shl (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 56))) (i32.const 2)))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $sixteen)))
    (local.set $end (i32.add (local.get $end) (i32.and (local.get $length) (i32.const 15))))
    (block $over
      (loop $one
        (br_if $over (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $crc (i32.xor
          (i32.shr_u (local.get $crc) (i32.const 8))
          (i32.load (i32.shl (i32.and
            (i32.xor (local.get $crc) (i32.load8_u (local.get $at)))
            (i32.const 255)) (i32.const 2)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $one)))
    (local.get $crc)))
