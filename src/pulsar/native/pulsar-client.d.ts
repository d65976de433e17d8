// pulsar-client is optional and mostly absent: native-client.ts says what is used of it, in all its versions.
declare module 'pulsar-client';
