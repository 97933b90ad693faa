// openai-node: https://github.com/openai/openai-node.

import assert from 'node:assert';
import OpenAI from 'openai';

const [address, model, thought] = process.argv.slice(2);
const question = '347*86', answer = '29842';
const messages = [{ role: 'user', content: question }];
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: 'none', maxRetries: 0 });

const chat = await client.chat.completions.create({ model, messages, temperature: 0 });
assert.equal(chat.choices[0].message.content, answer);
let text = '';
const chunks = await client.chat.completions.create({ model, messages, temperature: 0, stream: true });
for await (const chunk of chunks) text += chunk.choices[0]?.delta.content ?? '';
assert.equal(text, answer);

const response = await client.responses.create({ model, input: question, temperature: 0 });
assert.equal(response.output_text, answer);
assert.deepEqual(response.output.map((item) => item.type), ['reasoning', 'message']);
assert.equal(response.output[0].content[0].text, thought);
const stream = client.responses.stream({ model, input: question, temperature: 0 });
text = '';
for await (const event of stream) if (event.type === 'response.output_text.delta') text += event.delta;
assert.equal(text, answer);
assert.equal((await stream.finalResponse()).output_text, answer);

const embeddings = await client.embeddings.create({ model, input: ['12+30', '7'] });
for (const { embedding } of embeddings.data) {
  assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-5);
}

const tooLong = Array(2).fill({ role: 'user', content: '1'.repeat(1000) });
await assert.rejects(client.chat.completions.create({ model, messages: tooLong }), {
  status: 400,
  code: 'context_length_exceeded',
});
await assert.rejects(client.responses.create({ model: 'gpt-4o', input: question }), { status: 404 });
