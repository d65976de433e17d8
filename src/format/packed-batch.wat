(module
  ;; Records of the messages of a batch, straight from the bytes that its producer packed: each message is its size, a
  ;; SingleMessageMetadata (PulsarApi.proto) and its payload. Takes the plain ones only, and gives up on anything else,
  ;; for which encodeRecord is there. The memory is that of json-text.wat; packed-batch.ts fills it from $base on:
  ;;   0    eight constants in slots of 16 bytes: key, properties, sequenceId, value, close, null, eventTime
  ;;   128  the text of a second, 20 bytes: 2026-11-01T00:00:00.
  ;;   160  room for the digits of a number
  ;;   192  five pairs of where a text begins and its length: what is before and behind the place in the batch, the
  ;;        producer, the sequence id of a message without one, and what is before the value
  ;;   256  up to 32 properties, four words each: where the name begins and its length, the same of the value
  (import "json" "memory" (memory 25))
  (import "json" "escape" (func $escape (param i32 i32 i32) (result i32)))
  (import "js" "isUtf8" (func $isUtf8 (param i32 i32) (result i32)))
  (import "js" "formatSecond" (func $formatSecond (param f64) (result i32)))
  (global $base i32 (i32.const 1310720))
  ;; Where parsing is, and whether it has met something that is not plain.
  (global $at (mut i32) (i32.const 0))
  (global $isOdd (mut i32) (i32.const 0))
  ;; The message at hand.
  (global $hasKey (mut i32) (i32.const 0))
  (global $keyAt (mut i32) (i32.const 0))
  (global $keyEnd (mut i32) (i32.const 0))
  (global $hasSequence (mut i32) (i32.const 0))
  (global $sequence (mut i64) (i64.const 0))
  (global $eventTime (mut i64) (i64.const 0))
  (global $payloadBytes (mut i32) (i32.const 0))
  (global $isNull (mut i32) (i32.const 0))
  (global $properties (mut i32) (i32.const 0))
  (global $second (mut i64) (i64.const -1))

  ;; A varint below 2^63 that ends before $end.
  (func $varint (param $end i32) (result i64)
    (local $value i64) (local $shift i64) (local $byte i64)
    (loop $next
      (if (i32.or (i32.ge_u (global.get $at) (local.get $end)) (i64.gt_u (local.get $shift) (i64.const 56)))
        (then (global.set $isOdd (i32.const 1)) (return (i64.const 0))))
      (local.set $byte (i64.load8_u (global.get $at)))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (local.set $value (i64.or (local.get $value)
        (i64.shl (i64.and (local.get $byte) (i64.const 127)) (local.get $shift))))
      (local.set $shift (i64.add (local.get $shift) (i64.const 7)))
      (br_if $next (i64.ge_u (local.get $byte) (i64.const 128))))
    (local.get $value))

  ;; The end of a field with a length, which $at is at the begin of then.
  (func $fieldEnd (param $end i32) (result i32)
    (local $length i64)
    (local.set $length (call $varint (local.get $end)))
    (if (i64.gt_u (local.get $length) (i64.extend_i32_u (i32.sub (local.get $end) (global.get $at))))
      (then (global.set $isOdd (i32.const 1)) (return (global.get $at))))
    (i32.add (global.get $at) (i32.wrap_i64 (local.get $length))))

  (func $property (param $end i32)
    (local $entry i32) (local $tag i32) (local $textEnd i32)
    (if (i32.ge_u (global.get $properties) (i32.const 32))
      (then (global.set $isOdd (i32.const 1)) (return)))
    (local.set $entry (i32.add (i32.add (global.get $base) (i32.const 256))
      (i32.shl (global.get $properties) (i32.const 4))))
    (global.set $properties (i32.add (global.get $properties) (i32.const 1)))
    (v128.store (local.get $entry) (v128.const i64x2 0 0))
    (block $done
      (loop $next
        (br_if $done (i32.or (global.get $isOdd) (i32.ge_u (global.get $at) (local.get $end))))
        (local.set $tag (i32.load8_u (global.get $at)))
        (global.set $at (i32.add (global.get $at) (i32.const 1)))
        (if (i32.and (i32.ne (local.get $tag) (i32.const 0x0a)) (i32.ne (local.get $tag) (i32.const 0x12)))
          (then (global.set $isOdd (i32.const 1)) (return)))
        (local.set $textEnd (call $fieldEnd (local.get $end)))
        (if (i32.eq (local.get $tag) (i32.const 0x0a))
          (then
            (i32.store (local.get $entry) (global.get $at))
            (i32.store offset=4 (local.get $entry) (i32.sub (local.get $textEnd) (global.get $at))))
          (else
            (i32.store offset=8 (local.get $entry) (global.get $at))
            (i32.store offset=12 (local.get $entry) (i32.sub (local.get $textEnd) (global.get $at)))))
        (global.set $at (local.get $textEnd))
        (br $next))))

  ;; Reads the metadata from $at to $end into the globals.
  (func $metadata (param $end i32)
    (local $tag i32) (local $number i64) (local $fieldEnd i32)
    (global.set $hasKey (i32.const 0))
    (global.set $hasSequence (i32.const 0))
    (global.set $eventTime (i64.const 0))
    (global.set $payloadBytes (i32.const 0))
    (global.set $isNull (i32.const 0))
    (global.set $properties (i32.const 0))
    (block $done
      (loop $next
        (br_if $done (i32.or (global.get $isOdd) (i32.ge_u (global.get $at) (local.get $end))))
        (local.set $tag (i32.load8_u (global.get $at)))
        (global.set $at (i32.add (global.get $at) (i32.const 1)))
        (if (i32.eq (local.get $tag) (i32.const 0x0a)) ;; properties 1
          (then
            (local.set $fieldEnd (call $fieldEnd (local.get $end)))
            (call $property (local.get $fieldEnd))
            (br $next)))
        (if (i32.eq (local.get $tag) (i32.const 0x12)) ;; partition_key 2
          (then
            (local.set $fieldEnd (call $fieldEnd (local.get $end)))
            (global.set $hasKey (i32.const 1))
            (global.set $keyAt (global.get $at))
            (global.set $keyEnd (local.get $fieldEnd))
            (global.set $at (local.get $fieldEnd))
            (br $next)))
        (local.set $number (call $varint (local.get $end)))
        (if (i32.eq (local.get $tag) (i32.const 0x18)) ;; payload_size 3
          (then
            (if (i64.gt_u (local.get $number) (i64.const 0x7fffffff)) (then (global.set $isOdd (i32.const 1))))
            (global.set $payloadBytes (i32.wrap_i64 (local.get $number)))
            (br $next)))
        (if (i32.eq (local.get $tag) (i32.const 0x40)) ;; sequence_id 8
          (then
            (global.set $hasSequence (i32.const 1))
            (global.set $sequence (local.get $number))
            (br $next)))
        (if (i32.eq (local.get $tag) (i32.const 0x28)) ;; event_time 5
          (then (global.set $eventTime (local.get $number)) (br $next)))
        (if (i32.eq (local.get $tag) (i32.const 0x48)) ;; null_value 9
          (then (global.set $isNull (i64.ne (local.get $number) (i64.const 0))) (br $next)))
        ;; compacted_out 4, partition_key_b64_encoded 6, null_partition_key 10: where they say no.
        (if (i32.and
              (i64.eqz (local.get $number))
              (i32.or (i32.eq (local.get $tag) (i32.const 0x20))
                (i32.or (i32.eq (local.get $tag) (i32.const 0x30)) (i32.eq (local.get $tag) (i32.const 0x50)))))
          (then (br $next)))
        (global.set $isOdd (i32.const 1)))))

  ;; Reads the message at $at, up to its payload: gives where that ends, or 0.
  (func $message (param $end i32) (result i32)
    (local $size i32) (local $word i32)
    (if (i32.gt_u (i32.add (global.get $at) (i32.const 4)) (local.get $end)) (then (return (i32.const 0))))
    (local.set $word (i32.load (global.get $at)))
    (global.set $at (i32.add (global.get $at) (i32.const 4)))
    (local.set $size (i32.or
      (i32.and (i32.rotl (local.get $word) (i32.const 8)) (i32.const 0x00ff00ff))
      (i32.and (i32.rotr (local.get $word) (i32.const 8)) (i32.const 0xff00ff00))))
    (if (i32.gt_u (local.get $size) (i32.sub (local.get $end) (global.get $at))) (then (return (i32.const 0))))
    (local.set $size (i32.add (global.get $at) (local.get $size)))
    (call $metadata (local.get $size))
    (if (i32.or (global.get $isOdd) (i32.ne (global.get $at) (local.get $size))) (then (return (i32.const 0))))
    (if (i32.gt_u (global.get $payloadBytes) (i32.sub (local.get $end) (global.get $at)))
      (then (return (i32.const 0))))
    (i32.add (global.get $at) (global.get $payloadBytes)))

  ;; Whether the bytes are as many plain messages, and nothing else.
  (func (export "isPlain") (param $from i32) (param $end i32) (param $count i32) (result i32)
    (local $next i32)
    (global.set $isOdd (i32.const 0))
    (global.set $at (local.get $from))
    (block $done
      (loop $messages
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $next (call $message (local.get $end)))
        (if (i32.eqz (local.get $next)) (then (return (i32.const 0))))
        (global.set $at (local.get $next))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $messages)))
    (i32.eq (global.get $at) (local.get $end)))

  ;; Copies in steps of 16 bytes: writes up to 15 more.
  (func $copy (param $from i32) (param $length i32) (param $out i32) (result i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $out) (local.get $length)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $out) (local.get $end)))
        (v128.store (local.get $out) (v128.load (local.get $from)))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $out (i32.add (local.get $out) (i32.const 16)))
        (br $next)))
    (local.get $end))

  ;; Copies one of the five texts.
  (func $text (param $index i32) (param $out i32) (result i32)
    (local $pair i32)
    (local.set $pair (i32.add (i32.add (global.get $base) (i32.const 192)) (i32.shl (local.get $index) (i32.const 3))))
    (call $copy (i32.load (local.get $pair)) (i32.load offset=4 (local.get $pair)) (local.get $out)))

  ;; Copies one of the constants, of up to 16 bytes.
  (func $constant (param $index i32) (param $length i32) (param $out i32) (result i32)
    (v128.store (local.get $out)
      (v128.load (i32.add (global.get $base) (i32.shl (local.get $index) (i32.const 4)))))
    (i32.add (local.get $out) (local.get $length)))

  (func $decimal (param $value i64) (param $out i32) (result i32)
    (local $at i32) (local $tens i64)
    (local.set $at (i32.add (global.get $base) (i32.const 184)))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (local.set $tens (i64.div_u (local.get $value) (i64.const 10)))
      (i64.store8 (local.get $at) (i64.add (i64.const 48)
        (i64.sub (local.get $value) (i64.mul (local.get $tens) (i64.const 10)))))
      (local.set $value (local.get $tens))
      (br_if $next (i64.ne (local.get $value) (i64.const 0))))
    (call $copy (local.get $at)
      (i32.sub (i32.add (global.get $base) (i32.const 184)) (local.get $at)) (local.get $out)))

  ;; Writes ASCII as the inside of a JSON string; anything else is odd.
  (func $ascii (param $from i32) (param $end i32) (param $out i32) (result i32)
    (local.set $out (call $escape (local.get $from) (local.get $end) (local.get $out)))
    (if (i32.lt_s (local.get $out) (i32.const 0)) (then (global.set $isOdd (i32.const 1)) (return (i32.const 0))))
    (local.get $out))

  ;; Below 0, 0, above 0: the order of the names of two properties.
  (func $compare (param $a i32) (param $b i32) (result i32)
    (local $i i32) (local $least i32) (local $difference i32)
    (local.set $least (select (i32.load offset=4 (local.get $a)) (i32.load offset=4 (local.get $b))
      (i32.lt_u (i32.load offset=4 (local.get $a)) (i32.load offset=4 (local.get $b)))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $least)))
        (local.set $difference (i32.sub
          (i32.load8_u (i32.add (i32.load (local.get $a)) (local.get $i)))
          (i32.load8_u (i32.add (i32.load (local.get $b)) (local.get $i)))))
        (if (local.get $difference) (then (return (local.get $difference))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.sub (i32.load offset=4 (local.get $a)) (i32.load offset=4 (local.get $b))))

  ;; Brings the properties into the order of their names; a name that repeats is odd.
  (func $sort
    (local $first i32) (local $end i32) (local $at i32) (local $one i32) (local $order i32) (local $entry v128)
    (local.set $first (i32.add (global.get $base) (i32.const 256)))
    (local.set $end (i32.add (local.get $first) (i32.shl (global.get $properties) (i32.const 4))))
    (local.set $at (i32.add (local.get $first) (i32.const 16)))
    (block $sorted
      (loop $next
        (br_if $sorted (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $one (local.get $at))
        (block $placed
          (loop $back
            (br_if $placed (i32.eq (local.get $one) (local.get $first)))
            (local.set $order (call $compare (i32.sub (local.get $one) (i32.const 16)) (local.get $one)))
            (if (i32.eqz (local.get $order)) (then (global.set $isOdd (i32.const 1)) (return)))
            (br_if $placed (i32.lt_s (local.get $order) (i32.const 0)))
            (local.set $entry (v128.load (local.get $one)))
            (v128.store (local.get $one) (v128.load (i32.sub (local.get $one) (i32.const 16))))
            (v128.store (i32.sub (local.get $one) (i32.const 16)) (local.get $entry))
            (local.set $one (i32.sub (local.get $one) (i32.const 16)))
            (br $back)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next))))

  (func $writeProperties (param $out i32) (result i32)
    (local $entry i32) (local $end i32)
    (call $sort)
    (local.set $entry (i32.add (global.get $base) (i32.const 256)))
    (local.set $end (i32.add (local.get $entry) (i32.shl (global.get $properties) (i32.const 4))))
    (local.set $out (call $constant (i32.const 1) (i32.const 15) (local.get $out)))
    (loop $next
      (i32.store8 (local.get $out) (i32.const 0x22))
      (local.set $out (call $ascii
        (i32.load (local.get $entry))
        (i32.add (i32.load (local.get $entry)) (i32.load offset=4 (local.get $entry)))
        (i32.add (local.get $out) (i32.const 1))))
      (if (global.get $isOdd) (then (return (i32.const 0))))
      (i32.store (local.get $out) (i32.const 0x223a22)) ;; ":"
      (local.set $out (call $ascii
        (i32.load offset=8 (local.get $entry))
        (i32.add (i32.load offset=8 (local.get $entry)) (i32.load offset=12 (local.get $entry)))
        (i32.add (local.get $out) (i32.const 3))))
      (if (global.get $isOdd) (then (return (i32.const 0))))
      (i32.store16 (local.get $out) (i32.const 0x2c22)) ;; ",
      (local.set $out (i32.add (local.get $out) (i32.const 2)))
      (local.set $entry (i32.add (local.get $entry) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $entry) (local.get $end))))
    (i32.store8 (i32.sub (local.get $out) (i32.const 1)) (i32.const 0x7d)) ;; } instead of the comma
    (local.get $out))

  (func $writeEventTime (param $out i32) (result i32)
    (local $second i64) (local $rest i32)
    (local.set $second (i64.div_u (global.get $eventTime) (i64.const 1000)))
    (local.set $rest (i32.wrap_i64 (i64.sub (global.get $eventTime) (i64.mul (local.get $second) (i64.const 1000)))))
    (if (i64.ne (local.get $second) (global.get $second))
      (then
        (global.set $second (i64.const -1))
        (if (i32.eqz (call $formatSecond (f64.convert_i64_u (local.get $second))))
          (then (global.set $isOdd (i32.const 1)) (return (i32.const 0))))
        (global.set $second (local.get $second))))
    (local.set $out (call $constant (i32.const 6) (i32.const 14) (local.get $out)))
    (local.set $out (call $copy (i32.add (global.get $base) (i32.const 128)) (i32.const 20) (local.get $out)))
    (i32.store8 (local.get $out) (i32.add (i32.const 48) (i32.div_u (local.get $rest) (i32.const 100))))
    (i32.store8 offset=1 (local.get $out)
      (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $rest) (i32.const 10)) (i32.const 10))))
    (i32.store8 offset=2 (local.get $out) (i32.add (i32.const 48) (i32.rem_u (local.get $rest) (i32.const 10))))
    (i32.store16 offset=3 (local.get $out) (i32.const 0x225a)) ;; Z"
    (i32.add (local.get $out) (i32.const 5)))

  ;; Writes the records of the messages from $from to $end to $out. Gives their end, or 0 where one is not plain, or
  ;; they could become larger than $room; of $fixed bytes at most is what is not of the message itself.
  (func (export "encode") (param $from i32) (param $end i32) (param $count i32) (param $out i32) (param $room i32) (param $fixed i32) (result i32)
    (local $index i32) (local $next i32) (local $begin i32)
    (global.set $isOdd (i32.const 0))
    (global.set $at (local.get $from))
    (block $done
      (loop $messages
        (br_if $done (i32.ge_u (local.get $index) (local.get $count)))
        (local.set $begin (global.get $at))
        (local.set $next (call $message (local.get $end)))
        (if (i32.eqz (local.get $next)) (then (return (i32.const 0))))
        (if (i32.gt_u
              (i32.add (local.get $out) (i32.add (local.get $fixed)
                (i32.mul (i32.const 6) (i32.sub (local.get $next) (local.get $begin)))))
              (local.get $room))
          (then (return (i32.const 0))))
        (local.set $out (call $text (i32.const 0) (local.get $out)))
        (local.set $out (call $decimal (i64.extend_i32_u (local.get $index)) (local.get $out)))
        (local.set $out (call $text (i32.const 1) (local.get $out)))
        (if (i64.ne (global.get $eventTime) (i64.const 0))
          (then (local.set $out (call $writeEventTime (local.get $out)))))
        (if (i32.eqz (global.get $isOdd))
          (then
            (if (global.get $hasKey)
              (then
                (local.set $out (call $constant (i32.const 0) (i32.const 8) (local.get $out)))
                (local.set $out (call $ascii (global.get $keyAt) (global.get $keyEnd) (local.get $out)))
                (if (i32.eqz (global.get $isOdd))
                  (then
                    (i32.store8 (local.get $out) (i32.const 0x22))
                    (local.set $out (i32.add (local.get $out) (i32.const 1)))))))))
        (if (i32.and (i32.eqz (global.get $isOdd)) (i32.ne (global.get $properties) (i32.const 0)))
          (then (local.set $out (call $writeProperties (local.get $out)))))
        (if (global.get $isOdd) (then (return (i32.const 0))))
        (local.set $out (call $text (i32.const 2) (local.get $out)))
        (if (global.get $hasSequence)
          (then
            (local.set $out (call $constant (i32.const 2) (i32.const 14) (local.get $out)))
            (local.set $out (call $decimal (global.get $sequence) (local.get $out))))
          (else (local.set $out (call $text (i32.const 3) (local.get $out)))))
        (local.set $out (call $text (i32.const 4) (local.get $out)))
        (if (global.get $isNull)
          (then (local.set $out (call $constant (i32.const 5) (i32.const 15) (local.get $out))))
          (else
            (local.set $out (call $constant (i32.const 3) (i32.const 10) (local.get $out)))
            (local.set $out (call $escape (global.get $at) (local.get $next) (local.get $out)))
            (if (i32.lt_s (local.get $out) (i32.const 0))
              (then
                (local.set $out (i32.xor (local.get $out) (i32.const -1)))
                (if (i32.eqz (call $isUtf8 (global.get $at) (local.get $next))) (then (return (i32.const 0))))))
            (local.set $out (call $constant (i32.const 4) (i32.const 3) (local.get $out)))))
        (global.set $at (local.get $next))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        (br $messages)))
    (local.get $out)))
