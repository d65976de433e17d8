(module
  ;; From address 0: 8 tables of 256 checksums, for the bytes of eight; 4 more, for 256 zero bytes behind each byte of a
  ;; checksum (12 KiB in all); then the bytes. crc32c.ts fills them. The two halves of 512 bytes go side by side:
  ;; each step waits for the checksum of the one before, and so one half has the time that the other one waits.
  (memory (export "memory") 3)
  (func (export "update") (param $crc i32) (param $at i32) (param $length i32) (result i32)
    (local $end i32) (local $half i32) (local $second i32) (local $x i64) (local $y i64)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $short
      (loop $halves
        (br_if $short (i32.gt_u (i32.add (local.get $at) (i32.const 512)) (local.get $end)))
        (local.set $second (i32.const 0))
        (local.set $half (i32.add (local.get $at) (i32.const 256)))
        (loop $both
          (local.set $x (i64.xor (i64.extend_i32_u (local.get $crc)) (i64.load (local.get $at))))
          (local.set $y (i64.xor (i64.extend_i32_u (local.get $second)) (i64.load offset=256 (local.get $at))))
          (local.set $crc
            (i32.xor
              (i32.xor
                (i32.xor
                  (i32.load offset=7168 (i32.shl (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 255)) (i32.const 2)))
                  (i32.load offset=6144 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 8))) (i32.const 255)) (i32.const 2))))
                (i32.xor
                  (i32.load offset=5120 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 16))) (i32.const 255)) (i32.const 2)))
                  (i32.load offset=4096 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 24))) (i32.const 255)) (i32.const 2)))))
              (i32.xor
                (i32.xor
                  (i32.load offset=3072 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 32))) (i32.const 255)) (i32.const 2)))
                  (i32.load offset=2048 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 40))) (i32.const 255)) (i32.const 2))))
                (i32.xor
                  (i32.load offset=1024 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 48))) (i32.const 255)) (i32.const 2)))
                  (i32.load offset=0 (i32.shl (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 56))) (i32.const 2)))))))
          (local.set $second
            (i32.xor
              (i32.xor
                (i32.xor
                  (i32.load offset=7168 (i32.shl (i32.and (i32.wrap_i64 (local.get $y)) (i32.const 255)) (i32.const 2)))
                  (i32.load offset=6144 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 8))) (i32.const 255)) (i32.const 2))))
                (i32.xor
                  (i32.load offset=5120 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 16))) (i32.const 255)) (i32.const 2)))
                  (i32.load offset=4096 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 24))) (i32.const 255)) (i32.const 2)))))
              (i32.xor
                (i32.xor
                  (i32.load offset=3072 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 32))) (i32.const 255)) (i32.const 2)))
                  (i32.load offset=2048 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 40))) (i32.const 255)) (i32.const 2))))
                (i32.xor
                  (i32.load offset=1024 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 48))) (i32.const 255)) (i32.const 2)))
                  (i32.load offset=0 (i32.shl (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 56))) (i32.const 2)))))))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if $both (i32.lt_u (local.get $at) (local.get $half))))
        (local.set $crc (i32.xor (local.get $second)
          (i32.xor
            (i32.xor
              (i32.load offset=8192 (i32.shl (i32.and (local.get $crc) (i32.const 255)) (i32.const 2)))
              (i32.load offset=9216 (i32.shl (i32.and (i32.shr_u (local.get $crc) (i32.const 8)) (i32.const 255)) (i32.const 2))))
            (i32.xor
              (i32.load offset=10240 (i32.shl (i32.and (i32.shr_u (local.get $crc) (i32.const 16)) (i32.const 255)) (i32.const 2)))
              (i32.load offset=11264 (i32.shl (i32.shr_u (local.get $crc) (i32.const 24)) (i32.const 2)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 256)))
        (br $halves)))
    (block $rest
      (loop $eight
        (br_if $rest (i32.gt_u (i32.add (local.get $at) (i32.const 8)) (local.get $end)))
        (local.set $x (i64.xor (i64.extend_i32_u (local.get $crc)) (i64.load (local.get $at))))
        (local.set $crc
          (i32.xor
            (i32.xor
              (i32.xor
                (i32.load offset=7168 (i32.shl (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 255)) (i32.const 2)))
                (i32.load offset=6144 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 8))) (i32.const 255)) (i32.const 2))))
              (i32.xor
                (i32.load offset=5120 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 16))) (i32.const 255)) (i32.const 2)))
                (i32.load offset=4096 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 24))) (i32.const 255)) (i32.const 2)))))
            (i32.xor
              (i32.xor
                (i32.load offset=3072 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 32))) (i32.const 255)) (i32.const 2)))
                (i32.load offset=2048 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 40))) (i32.const 255)) (i32.const 2))))
              (i32.xor
                (i32.load offset=1024 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 48))) (i32.const 255)) (i32.const 2)))
                (i32.load offset=0 (i32.shl (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 56))) (i32.const 2)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $eight)))
    (block $over
      (loop $one
        (br_if $over (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $crc (i32.xor
          (i32.shr_u (local.get $crc) (i32.const 8))
          (i32.load (i32.shl
            (i32.and (i32.xor (local.get $crc) (i32.load8_u (local.get $at))) (i32.const 255))
            (i32.const 2)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $one)))
    (local.get $crc)))
