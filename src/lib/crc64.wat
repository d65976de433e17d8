(module
  ;; From address 0: 8 tables of 256 checksums, for the bytes of eight; 8 more, for 256 zero bytes behind each byte of a
  ;; checksum (32 KiB in all); then the bytes. crc64.ts fills them. The two halves of 512 bytes go side by side:
  ;; each step waits for the checksum of the one before, and so one half has the time that the other one waits.
  ;;
  ;; Long inputs are shortened first, without a table (the method is that of "Chorba", S. Russell, 2024): the polynomial of
  ;; the checksum divides x^2477 + x^2067 + x^1965 + x^1498 + x^1344 + x^1171 + x^356 + 1, and so also the same in x^8: a byte
  ;; changes nothing when it is added to the bytes 410, 512, 979, 1133, 1306, 2121 and 2477 behind it, and taken away.
  ;; 2477 to 2508 bytes are left for the tables. Before the input are 2496 zero bytes, behind its room 16 bytes and then
  ;; 2512 for what is left: crc64.ts has the addresses.
  (memory (export "memory") 3)
  (func $behind (param $at i32) (result v128)
    (v128.xor
      (v128.xor
        (v128.xor
          (v128.load (i32.sub (local.get $at) (i32.const 410)))
          (v128.load (i32.sub (local.get $at) (i32.const 512))))
        (v128.xor
          (v128.load (i32.sub (local.get $at) (i32.const 979)))
          (v128.load (i32.sub (local.get $at) (i32.const 1133)))))
      (v128.xor
        (v128.xor
          (v128.load (i32.sub (local.get $at) (i32.const 1306)))
          (v128.load (i32.sub (local.get $at) (i32.const 2121))))
        (v128.load (i32.sub (local.get $at) (i32.const 2477))))))
  (func (export "update") (param $crc i64) (param $at i32) (param $length i32) (result i64)
    (local $end i32) (local $half i32) (local $second i64) (local $x i64) (local $y i64) (local $rest i32) (local $from i32) (local $to i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (if (i32.ge_u (local.get $length) (i32.const 8192))
      (then
        (i64.store (local.get $at) (i64.xor (local.get $crc) (i64.load (local.get $at))))
        (local.set $crc (i64.const 0))
        (local.set $rest
          (i32.add (local.get $at) (i32.and (i32.sub (local.get $length) (i32.const 2477)) (i32.const -32))))
        (local.set $from (i32.sub (local.get $at) (i32.const 2477)))
        (loop $shorten
          (v128.store offset=2477 (local.get $from)
            (v128.xor
              (v128.xor
                (v128.xor (v128.load offset=2067 (local.get $from)) (v128.load offset=1965 (local.get $from)))
                (v128.xor (v128.load offset=1498 (local.get $from)) (v128.load offset=1344 (local.get $from))))
              (v128.xor
                (v128.xor (v128.load offset=1171 (local.get $from)) (v128.load offset=356 (local.get $from)))
                (v128.xor (v128.load offset=0 (local.get $from)) (v128.load offset=2477 (local.get $from))))))
          (v128.store offset=2493 (local.get $from)
            (v128.xor
              (v128.xor
                (v128.xor (v128.load offset=2083 (local.get $from)) (v128.load offset=1981 (local.get $from)))
                (v128.xor (v128.load offset=1514 (local.get $from)) (v128.load offset=1360 (local.get $from))))
              (v128.xor
                (v128.xor (v128.load offset=1187 (local.get $from)) (v128.load offset=372 (local.get $from)))
                (v128.xor (v128.load offset=16 (local.get $from)) (v128.load offset=2493 (local.get $from))))))
          (local.set $from (i32.add (local.get $from) (i32.const 32)))
          (br_if $shorten (i32.lt_u (local.get $from) (i32.sub (local.get $rest) (i32.const 2477)))))
        (local.set $at (local.get $rest))
        (local.set $to (i32.const 166352))
        (loop $move
          (v128.store (local.get $to) (v128.load (local.get $at)))
          (v128.store (local.get $at) (v128.const i64x2 0 0))
          (local.set $to (i32.add (local.get $to) (i32.const 16)))
          (local.set $at (i32.add (local.get $at) (i32.const 16)))
          (br_if $move (i32.lt_u (local.get $at) (local.get $end))))
        (local.set $at (local.get $rest))
        (local.set $to (i32.const 166352))
        (loop $add
          (v128.store (local.get $to) (v128.xor (v128.load (local.get $to)) (call $behind (local.get $at))))
          (local.set $to (i32.add (local.get $to) (i32.const 16)))
          (local.set $at (i32.add (local.get $at) (i32.const 16)))
          (br_if $add (i32.lt_u (local.get $at) (local.get $end))))
        (local.set $at (i32.const 166352))
        (local.set $end (i32.add (local.get $at) (i32.sub (local.get $end) (local.get $rest))))))
    (block $short
      (loop $halves
        (br_if $short (i32.gt_u (i32.add (local.get $at) (i32.const 512)) (local.get $end)))
        (local.set $second (i64.const 0))
        (local.set $half (i32.add (local.get $at) (i32.const 256)))
        (loop $both
          (local.set $x (i64.xor (local.get $crc) (i64.load (local.get $at))))
          (local.set $y (i64.xor (local.get $second) (i64.load offset=256 (local.get $at))))
          (local.set $crc
            (i64.xor
              (i64.xor
                (i64.xor
                  (i64.load offset=14336 (i32.shl (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 255)) (i32.const 3)))
                  (i64.load offset=12288 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 8))) (i32.const 255)) (i32.const 3))))
                (i64.xor
                  (i64.load offset=10240 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 16))) (i32.const 255)) (i32.const 3)))
                  (i64.load offset=8192 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 24))) (i32.const 255)) (i32.const 3)))))
              (i64.xor
                (i64.xor
                  (i64.load offset=6144 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 32))) (i32.const 255)) (i32.const 3)))
                  (i64.load offset=4096 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 40))) (i32.const 255)) (i32.const 3))))
                (i64.xor
                  (i64.load offset=2048 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 48))) (i32.const 255)) (i32.const 3)))
                  (i64.load offset=0 (i32.shl (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 56))) (i32.const 3)))))))
          (local.set $second
            (i64.xor
              (i64.xor
                (i64.xor
                  (i64.load offset=14336 (i32.shl (i32.and (i32.wrap_i64 (local.get $y)) (i32.const 255)) (i32.const 3)))
                  (i64.load offset=12288 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 8))) (i32.const 255)) (i32.const 3))))
                (i64.xor
                  (i64.load offset=10240 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 16))) (i32.const 255)) (i32.const 3)))
                  (i64.load offset=8192 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 24))) (i32.const 255)) (i32.const 3)))))
              (i64.xor
                (i64.xor
                  (i64.load offset=6144 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 32))) (i32.const 255)) (i32.const 3)))
                  (i64.load offset=4096 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 40))) (i32.const 255)) (i32.const 3))))
                (i64.xor
                  (i64.load offset=2048 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 48))) (i32.const 255)) (i32.const 3)))
                  (i64.load offset=0 (i32.shl (i32.wrap_i64 (i64.shr_u (local.get $y) (i64.const 56))) (i32.const 3)))))))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if $both (i32.lt_u (local.get $at) (local.get $half))))
        (local.set $crc (i64.xor (local.get $second)
          (i64.xor
            (i64.xor
              (i64.xor
                (i64.load offset=16384 (i32.shl (i32.and (i32.wrap_i64 (local.get $crc)) (i32.const 255)) (i32.const 3)))
                (i64.load offset=18432 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 8))) (i32.const 255)) (i32.const 3))))
              (i64.xor
                (i64.load offset=20480 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 16))) (i32.const 255)) (i32.const 3)))
                (i64.load offset=22528 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 24))) (i32.const 255)) (i32.const 3)))))
            (i64.xor
              (i64.xor
                (i64.load offset=24576 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 32))) (i32.const 255)) (i32.const 3)))
                (i64.load offset=26624 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 40))) (i32.const 255)) (i32.const 3))))
              (i64.xor
                (i64.load offset=28672 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 48))) (i32.const 255)) (i32.const 3)))
                (i64.load offset=30720 (i32.shl (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 56))) (i32.const 3))))))))
        (local.set $at (i32.add (local.get $at) (i32.const 256)))
        (br $halves)))
    (block $rest
      (loop $eight
        (br_if $rest (i32.gt_u (i32.add (local.get $at) (i32.const 8)) (local.get $end)))
        (local.set $x (i64.xor (local.get $crc) (i64.load (local.get $at))))
        (local.set $crc
          (i64.xor
            (i64.xor
              (i64.xor
                (i64.load offset=14336 (i32.shl (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 255)) (i32.const 3)))
                (i64.load offset=12288 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 8))) (i32.const 255)) (i32.const 3))))
              (i64.xor
                (i64.load offset=10240 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 16))) (i32.const 255)) (i32.const 3)))
                (i64.load offset=8192 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 24))) (i32.const 255)) (i32.const 3)))))
            (i64.xor
              (i64.xor
                (i64.load offset=6144 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 32))) (i32.const 255)) (i32.const 3)))
                (i64.load offset=4096 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 40))) (i32.const 255)) (i32.const 3))))
              (i64.xor
                (i64.load offset=2048 (i32.shl (i32.and (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 48))) (i32.const 255)) (i32.const 3)))
                (i64.load offset=0 (i32.shl (i32.wrap_i64 (i64.shr_u (local.get $x) (i64.const 56))) (i32.const 3)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $eight)))
    (block $over
      (loop $one
        (br_if $over (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $crc (i64.xor
          (i64.shr_u (local.get $crc) (i64.const 8))
          (i64.load (i32.shl
            (i32.and (i32.xor (i32.wrap_i64 (local.get $crc)) (i32.load8_u (local.get $at))) (i32.const 255))
            (i32.const 3)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $one)))
    (local.get $crc)))
