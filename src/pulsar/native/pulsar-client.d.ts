// pulsar-client is optional and mostly absent: addon.ts declares what is used of it, in all its versions.
declare module 'pulsar-client';
