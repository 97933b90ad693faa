// The AI SDK with @ai-sdk/openai, which uses the Responses API: https://github.com/vercel/ai.

import assert from 'node:assert';
import { embed, generateText, streamText } from 'ai';
import { createOpenAI } from '@ai-sdk/openai';

const [address, name] = process.argv.slice(2);
const prompt = '347*86', answer = '29842';
const openai = createOpenAI({ baseURL: `${address}/v1`, apiKey: 'none' });

for (const model of [openai(name), openai.responses(name), openai.chat(name)]) {
  const whole = await generateText({ model, prompt, temperature: 0, maxRetries: 0 });
  assert.equal(whole.text, answer);
  assert.equal(whole.finishReason, 'stop');
  assert.ok(whole.usage.outputTokens > answer.length);
  const streamed = streamText({ model, prompt, temperature: 0, maxRetries: 0 });
  let text = '';
  for await (const piece of streamed.textStream) text += piece;
  assert.equal(text, answer);
  assert.equal(await streamed.finishReason, 'stop');
}

const cut = await generateText({ model: openai(name), prompt, temperature: 0, maxOutputTokens: 16 });
assert.equal(cut.finishReason, 'length');

const system = 'Be brief.';
const messages = [
  { role: 'user', content: '12+30' },
  { role: 'assistant', content: '42' },
  { role: 'user', content: prompt },
];
const turn = await generateText({ model: openai(name), system, messages, temperature: 0 });
assert.equal(turn.text, answer);

const { embedding } = await embed({ model: openai.embedding(name), value: '12+30' });
assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-5);

await assert.rejects(generateText({ model: openai('gpt-4o'), prompt, maxRetries: 0 }), {
  statusCode: 404,
});
